//! A partition as a line of signs: segments from the oldest record to the newest, what is still in
//! the write-ahead log, and where damage lies. Finds nothing itself.

use std::fmt::Write;

use tidewire_store::inspect::{Affected, Extent, Verdict};

use super::screen::{Paint, paint};
use crate::cli::wording::count;

/// Signs of a line.
const SIGNS: u64 = 48;
/// A segment with fewer signs shows no beginning: there would be nothing else of it.
const SIGNS_OF_SEGMENT_MIN: u64 = 3;
/// More partitions than this are counted, not shown; damaged ones come first.
const PARTITIONS_SHOWN: usize = 32;
const LEGEND: &str = "| a segment begins, = sealed, - not yet, ~ in the write-ahead log, X damaged";

/// A line for each partition that holds something; nothing when none does.
pub(super) fn strips(verdict: &Verdict) -> String {
    let mut shown: Vec<(&Extent, Vec<(u64, u64)>)> = verdict
        .extents
        .iter()
        .map(|extent| (extent, damage_in(extent, verdict)))
        .filter(|(extent, damage)| extent.from < extent.to || !damage.is_empty())
        .collect();
    let more = shown.len().saturating_sub(PARTITIONS_SHOWN);
    if more > 0 {
        shown.sort_by_key(|(_, damage)| damage.is_empty());
        shown.truncate(PARTITIONS_SHOWN);
    }
    let name = |extent: &Extent| format!("{}/{}", extent.stream, extent.partition);
    let width = shown.iter().map(|(extent, _)| name(extent).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (extent, damage) in &shown {
        let signs = painted(&signs(extent, damage));
        let (from, last) = (extent.from, extent.to.saturating_sub(1).max(extent.from));
        let segments = count(extent.segments.len() as u64, "segment");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<width$}  {signs}  {segments}, {from} to {last}", name(extent));
    }
    if more > 0 {
        let _ = writeln!(text, "  and {more} more partitions");
    }
    if !shown.is_empty() {
        let _ = writeln!(text, "  {}", paint(LEGEND, Paint::Dim));
    }
    text
}

/// Offsets of it that cannot be read.
fn damage_in(extent: &Extent, verdict: &Verdict) -> Vec<(u64, u64)> {
    let is_of_it =
        |place: &&Affected| (&place.stream, place.partition) == (&extent.stream, extent.partition);
    let places = verdict.findings.iter().flat_map(|found| found.affected.iter().filter(is_of_it));
    places.map(|place| (place.from, place.to.max(place.from + 1))).collect()
}

/// Each sign stands for as many offsets as any other, and for one at least.
fn signs(extent: &Extent, damage: &[(u64, u64)]) -> String {
    let end = damage.iter().map(|(_, to)| *to).fold(extent.to, u64::max);
    let span = end.saturating_sub(extent.from).max(1);
    let count = SIGNS.min(span);
    let offset = |sign: u64| {
        let behind = u128::from(span) * u128::from(sign) / u128::from(count);
        extent.from + u64::try_from(behind).unwrap_or(u64::MAX)
    };
    let mut text = String::new();
    for sign in 0..count {
        let (from, to) = (offset(sign), offset(sign + 1));
        let is_damaged = damage.iter().any(|place| place.0 < to && from < place.1);
        text.push(if is_damaged { 'X' } else { sign_of(extent, (from, to), span / count) });
    }
    text
}

fn sign_of(extent: &Extent, (from, to): (u64, u64), offsets_each: u64) -> char {
    let holds = |at: u64| extent.segments.iter().find(|one| one.from <= at && at < one.to);
    let begins = extent.segments.iter().find(|one| (from..to).contains(&one.from));
    let is_shown = |one: u64| one >= SIGNS_OF_SEGMENT_MIN * offsets_each.max(1);
    match (begins, holds(from)) {
        (Some(begun), _) if is_shown(begun.to - begun.from) => '|',
        (_, Some(segment)) if segment.sealed => '=',
        (_, Some(_)) => '-',
        (Some(begun), None) if begun.sealed => '=',
        (Some(_), None) => '-',
        (None, None) => '~',
    }
}

/// Damage in the colour of damage.
fn painted(signs: &str) -> String {
    let mut text = String::new();
    let mut rest = signs;
    while let Some(first) = rest.chars().next() {
        let is_bad = first == 'X';
        let until = rest.find(|sign| (sign == 'X') != is_bad).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(until);
        text.push_str(&if is_bad { paint(run, Paint::Bad) } else { run.into() });
        rest = behind;
    }
    text
}

#[cfg(test)]
mod tests {
    use tidewire_store::inspect::{Extent, SegmentExtent};

    use super::signs;

    fn extent(ends: &[u64], to: u64) -> Extent {
        let mut from = 0;
        let segments = ends.iter().enumerate().map(|(number, end)| {
            let sealed = number + 1 < ends.len();
            let segment = SegmentExtent { from, to: *end, bytes: 1, sealed };
            from = *end;
            segment
        });
        let segments = segments.collect();
        Extent { stream: "mqtt".into(), partition: 0, from: 0, to, segments }
    }

    #[test]
    fn segments_the_log_and_damage_stand_where_their_offsets_are() {
        let whole = signs(&extent(&[160, 320, 400], 480), &[]);
        assert_eq!(whole, "|===============|===============|-------~~~~~~~~");
        let damaged = signs(&extent(&[160, 320, 400], 480), &[(205, 206), (470, 500)]);
        assert_eq!(damaged.len(), 48);
        assert_eq!(damaged.find('X'), Some(19), "{damaged}");
        assert!(
            damaged.ends_with(&format!("~{}", "X".repeat(3))) && damaged.matches('X').count() == 4,
            "{damaged}"
        );
    }

    #[test]
    fn few_records_are_a_sign_each_and_nothing_is_none_for_its_size() {
        assert_eq!(signs(&extent(&[], 3), &[]), "~~~");
        assert_eq!(signs(&extent(&[3, 4], 4), &[]), "|==-");
        assert_eq!(signs(&extent(&[3], 3), &[(1, 2)]), "|X-");
        let many: Vec<u64> = (1..1_000).collect();
        let of_many = signs(&extent(&many, 999), &[(500, 501)]);
        assert_eq!(of_many.matches('X').count(), 1, "{of_many}");
        assert!(of_many.starts_with("=====") && of_many.ends_with("==="), "{of_many}");
        let end = signs(&Extent { to: u64::MAX, ..extent(&[u64::MAX / 2], 0) }, &[(7, 8)]);
        assert!(end.starts_with("X---") && end.ends_with("~~~"), "{end}");
    }
}
