//! Which batches of a fetched part of a partition are not for readers of what is committed: those
//! of transactions that were aborted, by the list that comes with them. Pure.

use std::collections::BTreeSet;

/// A transaction that was aborted: its producer, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer: i64,
    pub(crate) first_offset: i64,
}

/// What the head of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) last_offset: i64,
    pub(crate) producer: i64,
    pub(crate) is_transactional: bool,
    /// It is a mark and no record: whether it ends its producer's transaction by an abort.
    pub(crate) control: Option<bool>,
}

/// Looks at batches in their order.
pub(crate) struct Sieve {
    /// In the order in which they begin.
    coming: Vec<Aborted>,
    /// Producers whose aborted transaction is not over.
    open: BTreeSet<i64>,
}

impl Sieve {
    pub(crate) fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_by_key(|it| std::cmp::Reverse(it.first_offset));
        Self { coming: aborted, open: BTreeSet::new() }
    }

    /// Whether the records of this batch are for us.
    pub(crate) fn admits(&mut self, head: Head) -> bool {
        while let Some(next) = self.coming.last().filter(|it| it.first_offset <= head.last_offset) {
            self.open.insert(next.producer);
            self.coming.pop();
        }
        match head.control {
            Some(is_abort) => {
                if is_abort {
                    self.open.remove(&head.producer);
                }
                false
            }
            None => !(head.is_transactional && self.open.contains(&head.producer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Aborted, Head, Sieve};

    const fn data(last_offset: i64, producer: i64, is_transactional: bool) -> Head {
        Head { last_offset, producer, is_transactional, control: None }
    }

    const fn mark(last_offset: i64, producer: i64, is_abort: bool) -> Head {
        Head { last_offset, producer, is_transactional: true, control: Some(is_abort) }
    }

    #[test]
    fn what_was_aborted_is_left_out_and_all_else_comes() {
        let first = Aborted { producer: 1, first_offset: 3 };
        let second = Aborted { producer: 2, first_offset: 9 };
        let mut sieve = Sieve::new(vec![second, first]);
        for (head, expected) in [
            (data(2, 1, true), true),
            (data(4, 1, true), false),
            (data(5, 2, true), true),
            (data(6, 1, false), true),
            (data(7, 1, true), false),
            (mark(8, 1, true), false),
            (data(10, 2, true), false),
            (data(12, 1, true), true),
            (mark(13, 1, false), false),
            (data(14, 2, true), false),
            (mark(15, 2, true), false),
            (data(16, 2, true), true),
        ] {
            assert_eq!(sieve.admits(head), expected, "{head:?}");
        }
    }
}
