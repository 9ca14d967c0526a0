//! How often something is told that peers can bring about at will: not more often than anybody
//! would read. Counts, and logs only how much was left out.

/// What is told of in one second; the rest is counted.
const TOLD_PER_S_MAX: u32 = 20;

/// For one kind of news.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    second: i64,
    told: u32,
    untold: u32,
}

impl Teller {
    /// Whether there is room for one more in this second.
    pub(crate) fn may_tell(&mut self, now_s: i64, what: &str) -> bool {
        self.settle(now_s, what);
        let may = self.told < TOLD_PER_S_MAX;
        match may {
            true => self.told += 1,
            false => self.untold = self.untold.saturating_add(1),
        }
        may
    }

    /// Says how many were left out of a second that is over. Who calls it now and then has it said
    /// also of the last ones.
    pub(crate) fn settle(&mut self, now_s: i64, what: &str) {
        if self.second == now_s {
            return;
        }
        let untold = self.untold;
        *self = Self { second: now_s, told: 0, untold: 0 };
        if untold > 0 {
            tracing::warn!(untold, "more {what} are not told of");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TOLD_PER_S_MAX, Teller};

    #[test]
    fn what_was_left_out_is_told_once_its_second_is_over() {
        let mut teller = Teller::default();
        let told = (0..1_000).filter(|_| teller.may_tell(7, "things")).count();
        teller.settle(7, "things");
        assert_eq!(teller.untold as usize, 1_000 - told);
        teller.settle(8, "things");
        assert_eq!(teller.untold, 0);
    }

    #[test]
    fn so_much_is_told_in_a_second_and_again_in_the_next() {
        let mut teller = Teller::default();
        for second in [7, 8] {
            let told = (0..1_000).filter(|_| teller.may_tell(second, "things")).count();
            assert_eq!(told, TOLD_PER_S_MAX as usize);
        }
    }
}
