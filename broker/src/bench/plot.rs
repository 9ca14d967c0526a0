//! Lines in a picture, as SVG that needs nothing else. Knows nothing of what they mean.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 42.0;
/// About so many lines across.
const TICKS: f64 = 5.0;

/// What is drawn, in one of the colours of the page.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// How far an axis goes, and where it says so.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) title: &'static str,
    from: f64,
    to: f64,
    is_log: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to the largest of these, in round steps.
    pub(crate) fn linear(title: &'static str, values: impl Iterator<Item = f64>) -> Self {
        let largest = values.fold(0.0, f64::max).max(1e-3);
        let step = round_step(largest / TICKS);
        let count = (largest / step).ceil().max(1.0);
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= step * count * 1.0001 {
            ticks.push((at, number(at)));
            at += step;
        }
        Self { title, from: 0.0, to: step * count, is_log: false, ticks }
    }

    /// Through all powers of ten from below the smallest to above the largest.
    pub(crate) fn logarithmic(title: &'static str, values: impl Iterator<Item = f64>) -> Self {
        let bounds = values
            .filter(|value| *value > 0.0)
            .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if bounds.1 > 0.0 { bounds } else { (1.0, 10.0) };
        let from = 10_f64.powf(low.log10().floor());
        let to = 10_f64.powf(high.log10().ceil()).max(from * 10.0);
        let mut ticks = Vec::new();
        let mut at = from;
        while at <= to * 1.0001 {
            ticks.push((at, number(at)));
            at *= 10.0;
        }
        Self { title, from, to, is_log: true, ticks }
    }

    /// With these marks, from the first to the last.
    pub(crate) fn marked(title: &'static str, ticks: Vec<(f64, String)>) -> Self {
        let from = ticks.first().map_or(0.0, |tick| tick.0);
        let to = ticks.last().map_or(1.0, |tick| tick.0);
        Self { title, from, to, is_log: false, ticks }
    }

    /// Where a value lies, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            (value - self.from) / (self.to - self.from).max(1e-12)
        };
        share.clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 of some power of ten, at least this much.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let enough = steps.into_iter().find(|step| step * power >= least * 0.9999);
    enough.unwrap_or(10.0) * power
}

/// Short: 1,500,000 is 1.5 M.
pub(crate) fn number(value: f64) -> String {
    let (scaled, unit) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e4 => (value / 1e3, " k"),
        value => (value, ""),
    };
    let text = format!("{scaled:.2}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{short}{unit}")
}

/// The picture.
pub(crate) fn svg(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>\n"
    );
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let at_x = |value: f64| LEFT + x.share(value) * (right - LEFT);
    let at_y = |value: f64| bottom - y.share(value) * (bottom - TOP);
    // Writing to a string cannot fail, here and below.
    for (value, name) in &y.ticks {
        let (at, left) = (at_y(*value), LEFT - 8.0);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>\
             <text class=\"y\" x=\"{left}\" y=\"{:.1}\">{name}</text>",
            at + 4.0
        );
    }
    for (value, name) in &x.ticks {
        let (at, below) = (at_x(*value), bottom + 16.0);
        let _ = writeln!(out, "<text class=\"x\" x=\"{at:.1}\" y=\"{below}\">{name}</text>");
    }
    let (middle, last) = (f64::midpoint(LEFT, right), HEIGHT - 8.0);
    let _ = writeln!(out, "<text class=\"x\" x=\"{middle}\" y=\"{last}\">{}</text>", x.title);
    let _ = writeln!(out, "<text class=\"unit\" x=\"{right}\" y=\"16\">{}</text>", y.title);
    for (index, line) in lines.iter().enumerate() {
        let mut path = String::new();
        for (at, (x, y)) in line.points.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", at_x(*x), at_y(*y));
        }
        let (name, key_x) = (line.name, middle + 110.0 * index as f64);
        let _ = writeln!(
            out,
            "<path class=\"line c{index}\" d=\"{path}\"><title>{name}</title></path>\
             <path class=\"line c{index}\" d=\"M{key_x} 12h18\"/>\
             <text x=\"{}\" y=\"16\">{name}</text>",
            key_x + 24.0
        );
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::{Axis, Line, number, svg};

    #[test]
    fn an_axis_goes_in_round_steps_beyond_what_it_shows() {
        let axis = Axis::linear("", [3.0, 870_000.0].into_iter());
        let names: Vec<&str> = axis.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["0", "200 k", "400 k", "600 k", "800 k", "1 M"]);
        let axis = Axis::logarithmic("", [30.0, 4_000.0].into_iter());
        let names: Vec<&str> = axis.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["10", "100", "1000", "10 k"]);
        assert_eq!((axis.share(10.0), axis.share(10_000.0)), (0.0, 1.0));
    }

    #[test]
    fn nothing_and_zero_can_be_drawn() {
        for axis in [
            Axis::linear("", std::iter::empty()),
            Axis::logarithmic("", [0.0].into_iter()),
            Axis::marked("", Vec::new()),
        ] {
            let drawn = svg("empty", &axis, &axis, &[Line { name: "a", points: vec![(0.0, 0.0)] }]);
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }

    #[test]
    fn a_line_goes_from_the_lower_left_to_the_upper_right() {
        let axis = Axis::linear("", [10.0].into_iter());
        let line = Line { name: "up", points: vec![(0.0, 0.0), (10.0, 10.0)] };
        let drawn = svg("t", &axis, &axis, &[line]);
        assert!(drawn.contains("M80.0 218.0L844.0 28.0"), "{drawn}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.25, 12.5, 9_999.0, 20_000.0, 1_500_000.0].map(number);
        assert_eq!(shown, ["0", "0.25", "12.5", "9999", "20 k", "1.5 M"]);
    }
}
