//! What `perf script` prints as a tree of calls, pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Calls with the samples in them, the caller first.
#[derive(Clone, Debug, Default)]
pub(super) struct Stacks {
    pub(super) root: Calls,
}

/// One function, as it was called from there.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// Samples in it and in what it calls.
    pub(super) all: u64,
    /// Samples in itself.
    own: u64,
    pub(super) below: BTreeMap<String, Self>,
}

impl Stacks {
    /// Samples stand apart by empty lines: the thread's name first, then its calls, the innermost
    /// first, each with its address in front.
    pub(super) fn read(text: &str) -> Self {
        let mut stacks = Self::default();
        for sample in text.split("\n\n") {
            let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
            let Some(thread) = lines.next() else { continue };
            let mut calls: Vec<String> = lines.filter_map(named).collect();
            // What starts a thread and turns its runtime is below everything and says nothing.
            if let Some(first) = calls.iter().rposition(|name| name.contains("tidewire")) {
                calls.truncate(first + 1);
            }
            calls.push(thread.trim().to_owned());
            stacks.add(calls.into_iter().rev());
        }
        stacks
    }

    fn add(&mut self, calls: impl Iterator<Item = String>) {
        let mut at = &mut self.root;
        at.all += 1;
        for name in calls {
            at = at.below.entry(name).or_default();
            at.all += 1;
        }
        at.own += 1;
    }

    pub(super) fn samples(&self) -> u64 {
        self.root.all
    }

    /// A table of the functions that most samples are in themselves.
    pub(super) fn heaviest(&self, count: usize) -> String {
        let mut own = BTreeMap::new();
        let mut left = vec![("", &self.root)];
        while let Some((name, calls)) = left.pop() {
            *own.entry(name).or_insert(0) += calls.own;
            left.extend(calls.below.iter().map(|(name, calls)| (name.as_str(), calls)));
        }
        let mut own: Vec<(&str, u64)> = own.into_iter().collect();
        own.sort_by_key(|(_, samples)| std::cmp::Reverse(*samples));
        let mut text = String::new();
        for (name, samples) in own.into_iter().take(count) {
            let share = 100.0 * samples as f64 / self.samples().max(1) as f64;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{share:>5.1} %  {name}");
        }
        text
    }
}

/// The function of a line like `  5581 core::fmt::write::h0123456789abcdef`.
fn named(line: &str) -> Option<String> {
    let (_, symbol) = line.trim().split_once(' ')?;
    let symbol = symbol.trim();
    let plain = match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 => name,
        _ => symbol,
    };
    Some(without_parameters(plain))
}

/// Without what stands between angle brackets behind a name: it says little and is long.
fn without_parameters(symbol: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0_u32);
    for letter in symbol.chars() {
        match letter {
            // `<T as Trait>::name` and `<impl>`: what it begins with is its name.
            '<' if out.is_empty() => continue,
            '<' => depth += 1,
            '>' if depth == 0 => continue,
            '>' => depth -= 1,
            _ if depth == 0 => out.push(letter),
            _ => (),
        }
    }
    out.replace("::::", "::").replace("_$", "").replace("{{closure}}", "{closure}")
}

#[cfg(test)]
mod tests {
    use super::{Stacks, named};

    const TEXT: &str = "core-0\n\tffff tcp_sendmsg\n\
                        \t5581 tidewire::core::flush::h0123456789abcdef\n\t5582 start_thread\n\n\n\
                        core-0\n\t5581 tidewire::core::flush::hfedcba9876543210\n\n";

    #[test]
    fn calls_of_one_kind_are_one_and_samples_are_counted_on_the_way() {
        let stacks = Stacks::read(TEXT);
        assert_eq!(stacks.samples(), 2);
        let flush = &stacks.root.below["core-0"].below["tidewire::core::flush"];
        assert_eq!((flush.all, flush.own, flush.below["tcp_sendmsg"].all), (2, 1, 1));
        assert!(stacks.heaviest(1).contains("50.0 %"), "{}", stacks.heaviest(1));
    }

    #[test]
    fn names_are_without_hashes_and_parameters() {
        let told = |line| named(line).expect("a name");
        assert_eq!(
            told("  5 alloc::vec::Vec<T,A>::push::h0123456789abcdef"),
            "alloc::vec::Vec::push"
        );
        assert_eq!(told("  5 <a::B<C> as d::E>::f"), "a::B as d::E::f");
        assert_eq!(told("  5 [unknown]"), "[unknown]");
        assert_eq!(named("nothing"), None);
    }
}
