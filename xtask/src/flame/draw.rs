//! A tree of calls as a flame graph: SVG that needs nothing else. Pure.

use std::fmt::Write as _;

use super::fold::{Calls, Stacks};

const WIDTH: f64 = 1200.0;
const ROW: f64 = 16.0;
const TOP: f64 = 30.0;
/// Narrower calls are left out: nobody sees them.
const WIDTH_MIN: f64 = 1.5;
const LETTER: f64 = 6.3;

/// Callers below, what they call above; as wide as they take time.
pub(super) fn svg(title: &str, stacks: &Stacks) -> String {
    let rows = depth(&stacks.root, WIDTH) as f64;
    let height = TOP + rows * ROW + 8.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"monospace\" font-size=\"10.5\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"6\" y=\"19\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    let mut left = vec![(&stacks.root, 0.0, 0.0)];
    while let Some((calls, mut x, level)) = left.pop() {
        for (name, below) in &calls.below {
            let width = wide(below, stacks);
            if width >= WIDTH_MIN {
                let y = height - 8.0 - (level + 1.0) * ROW;
                put(&mut out, name, below, (x, y, width), stacks);
                left.push((below, x, level + 1.0));
            }
            x += width;
        }
    }
    out.push_str("</svg>\n");
    out
}

fn wide(calls: &Calls, stacks: &Stacks) -> f64 {
    WIDTH * calls.all as f64 / stacks.samples().max(1) as f64
}

/// Levels that are drawn.
fn depth(calls: &Calls, width: f64) -> usize {
    let each = width / calls.all.max(1) as f64;
    let below = calls.below.values().filter(|below| below.all as f64 * each >= WIDTH_MIN);
    below.map(|below| 1 + depth(below, below.all as f64 * each)).max().unwrap_or(0)
}

fn put(out: &mut String, name: &str, calls: &Calls, at: (f64, f64, f64), stacks: &Stacks) {
    let (x, y, width) = at;
    let share = 100.0 * calls.all as f64 / stacks.samples().max(1) as f64;
    let high = ROW - 1.0;
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<g><title>{} {share:.1} %</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{:.1}\" \
         height=\"{high}\" fill=\"{}\"/>",
        escaped(name),
        (width - 0.5).max(0.5),
        colour(name)
    );
    let shown = shortened(name, width - 4.0);
    if !shown.is_empty() {
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{}\">", x + 2.0, y + 11.5);
        let _ = write!(out, "{}</text>", escaped(&shown));
    }
    out.push_str("</g>\n");
}

/// As much of a name as there is room for; the end of it says most.
fn shortened(name: &str, room: f64) -> String {
    let count = name.chars().count();
    let fits = (1..=count).take_while(|letters| *letters as f64 * LETTER <= room).count();
    match fits {
        fits if fits == count => name.to_owned(),
        0..4 => String::new(),
        fits => format!("…{}", name.chars().skip(count + 1 - fits).collect::<String>()),
    }
}

/// Ours, what ours is built on, and the kernel apart.
fn colour(name: &str) -> &'static str {
    if name.contains("tidewire") {
        "#f5b56b"
    } else if name.contains("::") {
        "#f3dfa2"
    } else {
        "#b9cfe4"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{LETTER, shortened, svg};
    use crate::flame::fold::Stacks;

    #[test]
    fn a_call_is_as_wide_as_its_share_and_stands_on_its_caller() {
        let stacks = Stacks::read("core-0\n\t1 b\n\t2 a\n\ncore-0\n\t2 a\n\nstore\n\t3 c\n\n");
        let drawn = svg("<title>", &stacks);
        assert!(drawn.contains("<title>core-0 66.7 %</title>"), "{drawn}");
        assert!(drawn.contains("width=\"399.5\"") && drawn.contains("&lt;title&gt;"), "{drawn}");
        assert_eq!(drawn.matches("<rect x=").count(), 5, "core-0, a, b, store and c: {drawn}");
        assert!(!drawn.contains("<script"));
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let room = |letters: f64| letters * LETTER + 0.1;
        assert_eq!(shortened("tidewire::core::flush", room(8.0)), "…::flush");
        assert_eq!(shortened("flush", room(5.0)), "flush");
        assert_eq!(shortened("tidewire::core::flush", room(3.0)), "");
    }
}
