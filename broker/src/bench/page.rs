//! A report as one page of HTML with plots in it: nothing is fetched, nothing is run. Measures
//! nothing.

use std::fmt::Write as _;

use super::plot::{Axis, Line, number, svg};
use super::pulse::Sample;
use super::report::Report;

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>tidewire bench</title><style>
:root{color-scheme:light dark;--ink:#1c2733;--dim:#6b7885;--grid:#dfe5ea;--c0:#0b6cb8;--c1:#c8541b}
@media(prefers-color-scheme:dark){:root{--ink:#dbe4ec;--dim:#93a1ad;--grid:#34404a;--c0:#5cb3f5;\
--c1:#f08a4b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);max-width:880px;margin:2em auto;\
padding:0 1em}
h1{font-size:1.3em}code{font-size:.95em}pre{overflow:auto}
svg{width:100%;margin:.8em 0}
svg text{font:12px system-ui,sans-serif;fill:var(--dim)}
svg .title{font-size:14px;fill:var(--ink)}
svg .y,svg .unit{text-anchor:end}svg .x{text-anchor:middle}
.grid{stroke:var(--grid)}.line{fill:none;stroke-width:2}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}
</style></head><body>
";

/// The page. `command` is what was typed.
pub(crate) fn page(report: &Report, command: &str) -> String {
    let mut out = HEAD.to_owned();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<h1>tidewire bench</h1>\n<p><code>{}</code></p>\n<pre>{}</pre>",
        escaped(command),
        escaped(&report.to_string())
    );
    out.push_str(&over_time(&report.samples));
    out.push_str(&by_share(&report.percentiles));
    out.push_str("</body></html>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What each sample says, over the time of the run.
fn over_time(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "<p>The run was too short for a plot over time.</p>\n".to_owned();
    }
    let time = Axis::linear("seconds", samples.iter().map(|sample| sample.at_s));
    let line = |name, value: fn(&Sample) -> Option<f64>| {
        let points = samples.iter().filter_map(|sample| Some((sample.at_s, value(sample)?)));
        Line { name, points: points.collect() }
    };
    let mut out = String::new();
    for phase in phases(samples) {
        let of_phase = samples.iter().filter(|sample| sample.phase == phase);
        let points: Vec<_> = of_phase.map(|sample| (sample.at_s, sample.each_second)).collect();
        let y = Axis::linear("each second", points.iter().map(|point| point.1));
        out.push_str(&svg(phase, &time, &y, &[Line { name: phase, points }]));
    }
    let median = line("median", |sample| sample.median_us);
    let slow = line("99 %", |sample| sample.slowest_hundredth_us);
    if !median.points.is_empty() {
        let both = median.points.iter().chain(&slow.points);
        let y = Axis::logarithmic("microseconds", both.map(|point| point.1));
        out.push_str(&svg("latency", &time, &y, &[median, slow]));
    }
    for (title, unit, value) in [
        ("the broker's processor time", "processors", (|s| s.processors) as fn(&Sample) -> _),
        ("the broker's memory", "MiB", |s| s.memory_mib),
    ] {
        let line = line("", value);
        if !line.points.is_empty() {
            let y = Axis::linear(unit, line.points.iter().map(|point| point.1));
            out.push_str(&svg(title, &time, &y, &[line]));
        }
    }
    out
}

fn phases(samples: &[Sample]) -> Vec<&'static str> {
    let mut phases: Vec<&'static str> = samples.iter().map(|sample| sample.phase).collect();
    phases.dedup();
    phases
}

/// How late the slowest are: each nine more is a tenth as many messages.
fn by_share(percentiles: &[(f64, f64)]) -> String {
    let nines = |share: f64| -(1.0 - share).max(1e-9).log10();
    let points: Vec<(f64, f64)> =
        percentiles.iter().map(|(share, us)| (nines(*share), *us)).collect();
    let Some(last) = points.last().map(|point| point.0) else { return String::new() };
    let marks = [0.0, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999, 0.999_999_9];
    let mut ticks = Vec::new();
    for share in marks {
        ticks.push((nines(share), format!("{} %", number_of_share(share))));
        if nines(share) >= last {
            break;
        }
    }
    let x = Axis::marked("of all messages were no later", ticks);
    let y = Axis::logarithmic("microseconds", points.iter().map(|point| point.1));
    svg("latency by share", &x, &y, &[Line { name: "latency", points }])
}

fn number_of_share(share: f64) -> String {
    if share < 0.999 {
        return number(share * 100.0);
    }
    let text = format!("{:.5}", share * 100.0);
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{escaped, page};
    use crate::bench::pulse::Sample;
    use crate::bench::report::Report;

    #[test]
    fn a_page_has_its_plots_in_it_and_fetches_nothing() {
        let sample = |at_s| Sample {
            phase: "delivered",
            at_s,
            each_second: 1000.0,
            median_us: Some(80.0),
            slowest_hundredth_us: Some(900.0),
            processors: Some(0.5),
            memory_mib: Some(30.0),
        };
        let report = Report {
            samples: vec![sample(1.0), sample(2.0)],
            percentiles: vec![(0.5, 80.0), (0.99, 900.0), (0.9999, 2000.0)],
            ..Report::default()
        };
        let page = page(&report, "tidewire bench fan-in --to <there>");
        assert_eq!(page.matches("<svg").count(), 5, "{page}");
        assert!(page.contains("99.99 %") && page.contains("&lt;there&gt;"), "{page}");
        for word in ["http:", "https:", "<script", "src=", "NaN", "inf"] {
            assert!(!page.contains(word), "{word} in {page}");
        }
    }

    #[test]
    fn a_run_without_samples_has_a_page() {
        let page = page(&Report::default(), "tidewire bench connect");
        assert!(page.contains("too short") && !page.contains("<svg"), "{page}");
    }

    #[test]
    fn what_was_typed_cannot_become_markup() {
        assert_eq!(escaped("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
