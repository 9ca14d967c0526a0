//! A backup that the running broker is asked for: what it says of it, for how long we listen, and
//! what becomes of the request when we are told to end. Copies nothing.

use std::path::Path;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidewire_store::inspect::Progress;
use tidewire_store::{Disk as _, RealDisk};
use tokio::signal::unix::{SignalKind, signal};

use super::copy::Copied;
use super::place::LOCK;
use crate::backup::{Answer, Request};
use crate::cli::progress::{Line, wipe};
use crate::cli::remote::Trouble;
use crate::cli::wording::size;

/// How often it is looked what the broker says.
const LOOK: Duration = Duration::from_millis(100);
/// So long it may have nothing new to say. It looks every second whether it is asked, and says with
/// each megabyte how far it is: what is silent for longer hangs, or cannot write.
const NEWS_WITHIN: Duration = Duration::from_secs(120);

/// The request of this command, until it is answered.
#[derive(Default)]
pub(super) struct Asked(Mutex<State>);

#[derive(Default)]
struct State {
    request: Option<Request>,
    /// We were told to end: nothing is asked for any more.
    is_over: bool,
}

impl Asked {
    /// Asks, unless we are to end.
    fn ask(&self, data: &Path, to: &Path) -> Result<(), Trouble> {
        // Held meanwhile: who takes it back finds it whole.
        let mut state = self.0.lock();
        if state.is_over {
            return Err(ended());
        }
        let made = Request::make(data, to);
        let failed = |error| Trouble::broker(format!("{}: {error}", data.display()));
        state.request = Some(made.map_err(failed)?);
        Ok(())
    }

    /// Nobody waits for it any more; what becomes of it.
    pub(super) fn take_back(&self) -> &'static str {
        let mut state = self.0.lock();
        state.is_over = true;
        match state.request.take().map(Request::take_back) {
            Some(true) => "the request is taken back, and nothing was copied",
            Some(false) => "the broker goes on with the backup, and its log says how it ends",
            None => "the copy, if it was begun, is not checked and may not be whole",
        }
    }

    /// What the broker said, if we are still to listen.
    fn answer(&self) -> Option<Option<Answer>> {
        self.0.lock().request.as_ref().map(Request::answer)
    }
}

fn ended() -> Trouble {
    Trouble::broker("it is not waited for any more")
}

/// Does the work on a thread of its own, and listens meanwhile for who wants it to end.
pub(super) fn interruptible(
    work: impl FnOnce() -> Result<(String, bool), Trouble> + Send + 'static,
    at_stop: impl FnOnce() -> &'static str,
) -> Result<(String, bool), Trouble> {
    let failed = |error: std::io::Error| Trouble::broker(format!("signals or threads: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed)?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut term = signal(SignalKind::terminate()).map_err(failed)?;
        let (done, is_done) = tokio::sync::oneshot::channel();
        let told = move || {
            // Who does not wait any more has said why.
            let _ = done.send(work());
        };
        thread::Builder::new().name("backup".into()).spawn(told).map_err(failed)?;
        tokio::select! {
            done = is_done => {
                return done.unwrap_or_else(|_| Err(Trouble::broker("it ended in a panic")));
            }
            _ = interrupt.recv() => (),
            _ = term.recv() => (),
        }
        wipe();
        Err(Trouble::broker(format!("told to end: {}", at_stop())))
    })
}

/// Asks the broker that runs on the data folder, and waits for it.
pub(super) fn by_the_broker(data: &Path, to: &Path, asked: &Asked) -> Result<Copied, Trouble> {
    asked.ask(data, to)?;
    let waited = wait(data, to, asked);
    drop(asked.0.lock().request.take());
    waited
}

fn wait(data: &Path, to: &Path, asked: &Asked) -> Result<Copied, Trouble> {
    let (mut silence, mut shown) = (Silence::new(Instant::now()), Shown::default());
    loop {
        sleep(LOOK);
        let answer = asked.answer().ok_or_else(ended)?;
        match answer {
            Some(Answer::Done(report)) => {
                return Ok(Copied { files: report.files, bytes: report.bytes });
            }
            Some(Answer::Failed(words)) => return Err(Trouble::broker(words)),
            Some(Answer::Working(done, total)) => shown.own(Progress { done, total }),
            Some(Answer::Waiting(done, total)) => shown.others(Progress { done, total }),
            None => (),
        }
        if silence.is_over(answer.as_ref(), Instant::now()) {
            let (seconds, data, to) = (NEWS_WITHIN.as_secs(), data.display(), to.display());
            return Err(Trouble::broker(format!(
                "the broker says nothing new for {seconds} s: look at its log, whether there is \
                 room for its answer in {data}, and whether {to} can be written"
            )));
        }
        if RealDisk::new(data).lock(LOCK).is_ok() {
            return Err(Trouble::broker("the broker ended meanwhile; try again"));
        }
    }
}

/// What moves on a terminal: the one before ours, then ours.
#[derive(Default)]
struct Shown {
    others: Option<Line>,
    own: Option<Line>,
}

impl Shown {
    fn others(&mut self, progress: Progress) {
        let line = || Line::new("another backup first", size);
        self.others.get_or_insert_with(line).show(progress);
    }

    fn own(&mut self, progress: Progress) {
        self.others = None;
        self.own.get_or_insert_with(|| Line::new("backup", size)).show(progress);
    }
}

/// Since when nothing new was said.
struct Silence {
    last: Option<Answer>,
    since: Instant,
}

impl Silence {
    fn new(now: Instant) -> Self {
        Self { last: None, since: now }
    }

    /// Whether it has lasted too long.
    fn is_over(&mut self, answer: Option<&Answer>, now: Instant) -> bool {
        if answer != self.last.as_ref() {
            *self = Self { last: answer.cloned(), since: now };
        }
        now.duration_since(self.since) >= NEWS_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Answer, Asked, NEWS_WITHIN, Silence};

    #[test]
    fn whoever_is_told_to_end_asks_for_nothing_any_more() {
        let data = tempfile::tempdir().expect("a folder");
        let asked = Asked::default();
        let files = || data.path().read_dir().expect("a folder").count();
        asked.ask(data.path(), &data.path().join("to")).expect("asked");
        assert_eq!(files(), 1);
        assert!(asked.take_back().contains("nothing was copied"));
        assert_eq!(files(), 0);
        assert!(asked.ask(data.path(), &data.path().join("to")).is_err());
        assert_eq!(files(), 0);
    }

    #[test]
    fn a_broker_that_says_nothing_new_is_not_waited_for_for_ever() {
        let (begin, moment) = (Instant::now(), Duration::from_secs(1));
        for answer in [None, Some(Answer::Waiting(1, 2)), Some(Answer::Working(1, 2))] {
            let mut silence = Silence::new(begin);
            let mut after = |time| silence.is_over(answer.as_ref(), begin + time);
            assert!(!after(Duration::ZERO) && !after(NEWS_WITHIN - moment), "{answer:?}");
            assert!(after(NEWS_WITHIN), "{answer:?}");
        }
    }

    #[test]
    fn a_backup_of_which_bytes_come_is_waited_for_however_long_it_takes() {
        let begin = Instant::now();
        let (mut silence, step) = (Silence::new(begin), NEWS_WITHIN - Duration::from_secs(1));
        let mut now = begin;
        for done in 0..10 {
            now += step;
            assert!(!silence.is_over(Some(&Answer::Working(done, 10)), now), "{done}");
        }
    }
}
