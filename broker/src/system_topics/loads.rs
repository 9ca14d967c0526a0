//! How much happens in a minute: averages over the last minute, five and fifteen, in which what was
//! long ago counts less and less. Asks nobody and has no clock.

/// Over how many minutes, and what that is called.
pub(super) const MINUTES: [(f64, &str); 3] = [(1.0, "1min"), (5.0, "5min"), (15.0, "15min")];

/// What is averaged, as topics have it.
pub(super) const NAMES: [&str; 9] = [
    "messages/received",
    "messages/sent",
    "publish/received",
    "publish/sent",
    "publish/dropped",
    "bytes/received",
    "bytes/sent",
    "sockets",
    "connections",
];

/// Sums since the start, in the order of `NAMES`.
pub(super) type Sums = [u64; NAMES.len()];

/// The averages.
#[derive(Debug, Default)]
pub(super) struct Loads {
    before: Sums,
    averages: [[f64; MINUTES.len()]; NAMES.len()],
}

impl Loads {
    /// So many seconds after the last time the sums are these.
    pub(super) fn pass(&mut self, now: Sums, seconds: f64) {
        if seconds <= 0.0 {
            return;
        }
        let minutes = seconds / 60.0;
        for ((now, before), averages) in now.iter().zip(self.before).zip(&mut self.averages) {
            let per_minute = now.saturating_sub(before) as f64 / minutes;
            for (average, (over, _)) in averages.iter_mut().zip(MINUTES) {
                let kept = (-minutes / over).exp();
                *average = per_minute + kept * (*average - per_minute);
            }
        }
        self.before = now;
    }

    /// Each of them: its name, over how long, and what it is.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, f64)> {
        let of = |(name, averages): (&'static str, [f64; MINUTES.len()])| {
            MINUTES.into_iter().zip(averages).map(move |((_, over), it)| (name, over, it))
        };
        NAMES.into_iter().zip(self.averages).flat_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::{Loads, NAMES};

    fn of_messages(loads: &Loads) -> Vec<f64> {
        loads.each().filter(|(name, ..)| *name == NAMES[0]).map(|(.., value)| value).collect()
    }

    #[test]
    fn what_stays_the_same_is_what_each_average_comes_to_the_short_one_first() {
        let mut loads = Loads::default();
        let mut sums = [0; NAMES.len()];
        for _ in 0..12 {
            sums[0] += 10;
            loads.pass(sums, 10.0);
        }
        let [one, five, fifteen] = of_messages(&loads)[..] else { panic!("three") };
        assert!(50.0 < one && one < 60.0, "{one}");
        assert!(fifteen < five && five < one, "{fifteen} {five}");
        for _ in 0..1_000 {
            sums[0] += 10;
            loads.pass(sums, 10.0);
        }
        assert!(of_messages(&loads).iter().all(|it| (it - 60.0).abs() < 0.01));
    }

    #[test]
    fn no_time_changes_nothing() {
        let mut loads = Loads::default();
        loads.pass([5; NAMES.len()], 0.0);
        assert!(loads.each().all(|(.., value)| value == 0.0));
        assert_eq!(loads.each().count(), NAMES.len() * 3);
    }
}
