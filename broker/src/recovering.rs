//! Tells how far the log has been read again, while a start waits for that. Reads nothing itself.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tidewire_store::Recovering;
use tidewire_store::inspect::Progress;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is said; what takes less is not worth a word.
const SAY: Duration = Duration::from_secs(1);

/// Is shown how far it is, each time that it is looked, and whether it is time to say so.
pub(crate) type Shown = Box<dyn FnMut(Progress, bool) + Send>;

/// Does this, and tells meanwhile how far it is.
pub(crate) fn telling<T>(
    recovering: &Recovering,
    shown: Option<Shown>,
    work: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        let (over, is_over) = channel();
        let watching = move || watch(recovering, shown, &is_over);
        let watching =
            thread::Builder::new().name("recovering".into()).spawn_scoped(scope, watching);
        if let Err(error) = watching {
            tracing::warn!(%error, "nobody tells how far the start is");
        }
        let done = work();
        drop(over);
        done
    })
}

fn watch(recovering: &Recovering, mut shown: Option<Shown>, is_over: &Receiver<()>) {
    let (started, mut sayings) = (Instant::now(), Sayings::default());
    // Where both go to one terminal, lines of the log would tear a bar.
    let is_drawn = shown.is_some() && io::stderr().is_terminal() && io::stdout().is_terminal();
    while is_over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let progress = recovering.progress();
        let is_due = sayings.is_due(started.elapsed()) && progress.total > 0;
        if is_due && !is_drawn {
            let Progress { done, total } = progress;
            tracing::info!(done, total, "Recovering: bytes of the log that are read again.");
        }
        if let Some(shown) = &mut shown {
            shown(progress, is_due);
        }
    }
}

/// How often it was said.
#[derive(Debug, Default)]
struct Sayings(u32);

impl Sayings {
    /// Whether it is to be said again, so long after the beginning.
    fn is_due(&mut self, since: Duration) -> bool {
        let is_due = since >= SAY * (self.0 + 1);
        if is_due {
            // What was missed is not made up for.
            self.0 = u32::try_from(since.as_millis() / SAY.as_millis()).unwrap_or(u32::MAX - 1);
        }
        is_due
    }
}

/// How much of it is done, in words for who looks after services.
pub(crate) fn status(progress: Progress) -> String {
    let Progress { done, total } = progress;
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    format!("STATUS=Reading the log again: {percent} % of {} MiB", total >> 20)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tidewire_store::Recovering;
    use tidewire_store::inspect::Progress;

    use super::{Sayings, status, telling};

    #[test]
    fn it_is_said_once_a_second_and_not_before_the_first() {
        let mut sayings = Sayings::default();
        let said = [0, 900, 1_000, 1_100, 1_900, 2_050, 5_500, 5_900, 6_000];
        let said = said.map(|ms| sayings.is_due(Duration::from_millis(ms)));
        assert_eq!(said, [false, false, true, false, false, true, true, false, true]);
    }

    #[test]
    fn who_waits_is_shown_how_far_it_is_until_it_is_over() {
        let (to_us, shown) = channel();
        let show = Box::new(move |progress, _| {
            // Nobody listens any more when it is over.
            let _ = to_us.send(progress);
        });
        let seen = telling(&Recovering::default(), Some(show), || shown.recv());
        assert_eq!(seen, Ok(Progress { done: 0, total: 0 }));
    }

    #[test]
    fn the_status_is_a_share_of_all() {
        let half = Progress { done: 64 << 20, total: 128 << 20 };
        assert_eq!(status(half), "STATUS=Reading the log again: 50 % of 128 MiB");
        assert!(status(Progress { done: 0, total: 0 }).contains("0 %"));
    }
}
