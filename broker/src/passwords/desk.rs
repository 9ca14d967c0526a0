//! Where passwords are checked: what is known at once, the rest by threads of its own, behind a
//! bounded queue. Never decides what a client hears.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, RwLock};

use super::book::{Book, PasswordFileError, load};
use super::guesses::Guesses;
use crate::file_watch::FileWatch;

/// What may wait, and be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeskLimits {
    /// Threads that hash.
    pub(crate) threads: usize,
    /// Questions that wait for them.
    pub(crate) queue_max: usize,
    /// Right answers that are remembered.
    pub(crate) checked_max: usize,
    /// Wrong passwords in a minute.
    pub(crate) wrong_per_address_max: u32,
    pub(crate) wrong_per_user_max: u32,
}

/// Is this the user's password?
pub(crate) struct Question {
    pub(crate) user: Box<str>,
    pub(crate) password: Box<[u8]>,
    /// Where it comes from.
    pub(crate) address: Option<IpAddr>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// Too many wrong ones came, from there or for that user: it was not looked at.
    TooOften,
    /// Too many wait: it was not looked at.
    Busy,
    /// It could not be looked at.
    Unavailable,
}

/// What is called with the answer, from another thread.
pub(crate) type Answer = Box<dyn FnOnce(Verdict) + Send>;

/// The desk.
pub(crate) struct PasswordDesk {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    limits: DeskLimits,
    book: RwLock<Arc<Book>>,
    watch: FileWatch,
    guesses: Mutex<Guesses>,
    queue: Mutex<Queue>,
    /// Something is in the queue, or it is over.
    due: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Question, Answer)>,
    is_over: bool,
}

impl PasswordDesk {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is wrong.
    pub(crate) fn open(path: &Path, limits: DeskLimits) -> Result<Self, PasswordFileError> {
        let watch = FileWatch::new(vec![path.into()]);
        let book = RwLock::new(Arc::new(load(path, limits.checked_max)?));
        let guesses = Guesses::new(limits.wrong_per_address_max, limits.wrong_per_user_max);
        let inner = Inner {
            limits,
            book,
            watch,
            guesses: Mutex::new(guesses),
            queue: Mutex::default(),
            due: Condvar::new(),
        };
        Ok(Self { inner: Arc::new(inner), threads: Mutex::default() })
    }

    /// Starts the threads. Before, and after `stop`, what is not known is unavailable.
    ///
    /// # Errors
    /// When the system has none to give.
    pub(crate) fn start(&self) -> io::Result<()> {
        for number in 0..self.inner.limits.threads {
            let inner = Arc::clone(&self.inner);
            let thread = std::thread::Builder::new().name(format!("password-{number}"));
            self.threads.lock().push(thread.spawn(move || inner.run())?);
        }
        Ok(())
    }

    /// Answers at once, or has `answer` called later.
    pub(crate) fn ask(&self, question: Question, now_ms: i64, answer: Answer) -> Option<Verdict> {
        let inner = &self.inner;
        let (user, address) = (&*question.user, question.address);
        if inner.book.read().recall(user, &question.password).is_ok() {
            return Some(Verdict::Right);
        }
        if self.threads.lock().is_empty() {
            return Some(Verdict::Unavailable);
        }
        if !inner.guesses.lock().take(address, user, now_ms) {
            return Some(Verdict::TooOften);
        }
        let mut queue = inner.queue.lock();
        if queue.jobs.len() >= inner.limits.queue_max {
            drop(queue);
            inner.guesses.lock().give_back(address, user);
            return Some(Verdict::Busy);
        }
        queue.jobs.push_back((question, answer));
        inner.due.notify_one();
        None
    }

    /// Reads the file anew when it has changed, and not since the last look: it is written by then.
    pub(crate) fn look(&self) {
        if self.inner.watch.is_settled() {
            self.inner.read();
        }
    }

    /// Reads the file anew now.
    pub(crate) fn reload(&self) {
        self.inner.watch.note();
        self.inner.read();
    }

    /// Waits for what is being hashed; what waits is answered with "unavailable".
    pub(crate) fn stop(&self) {
        let left = {
            let mut queue = self.inner.queue.lock();
            queue.is_over = true;
            std::mem::take(&mut queue.jobs)
        };
        self.inner.due.notify_all();
        for (_, answer) in left {
            answer(Verdict::Unavailable);
        }
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread for passwords ended in a panic");
            }
        }
    }
}

impl Inner {
    fn run(&self) {
        step_back();
        while let Some((question, answer)) = self.next() {
            // A panic must not leave its client without an answer, nor others.
            let checked = catch_unwind(AssertUnwindSafe(|| self.check(&question)));
            answer(checked.unwrap_or(Verdict::Unavailable));
        }
    }

    fn next(&self) -> Option<(Question, Answer)> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_over {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            self.due.wait(&mut queue);
        }
    }

    fn check(&self, question: &Question) -> Verdict {
        let Question { user, password, address } = question;
        let book = Arc::clone(&self.book.read());
        // Another connection may have asked the same meanwhile.
        let verdict = match book.recall(user, password) {
            Ok(()) => Verdict::Right,
            Err(trace) => match book.check(user, password) {
                Some(true) => {
                    book.remember(trace);
                    Verdict::Right
                }
                Some(false) => Verdict::Wrong,
                None => Verdict::Unavailable,
            },
        };
        if verdict != Verdict::Wrong {
            self.guesses.lock().give_back(*address, user);
        }
        verdict
    }

    /// Of a file that is wrong nothing is taken.
    fn read(&self) {
        for path in self.watch.paths() {
            match load(path, self.limits.checked_max) {
                Ok(book) => {
                    tracing::info!(users = book.len(), "the password file is read anew");
                    *self.book.write() = Arc::new(book);
                }
                Err(error) => {
                    let cause = error.source().map(|cause| format!(": {cause}"));
                    let cause = cause.unwrap_or_default();
                    tracing::error!("passwords stay as they were: {error}{cause}");
                }
            }
        }
    }
}

/// Cores go first.
fn step_back() {
    const NICENESS: i32 = 5;
    // Elsewhere this would be the priority of the whole program.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(NICENESS)
    {
        tracing::debug!(%error, "a thread for passwords keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{DeskLimits, PasswordDesk, Question, Verdict};
    use crate::passwords::PasswordHash;

    const LIMITS: DeskLimits = DeskLimits {
        threads: 1,
        queue_max: 2,
        checked_max: 10,
        wrong_per_address_max: 3,
        wrong_per_user_max: 0,
    };

    struct Trial {
        desk: PasswordDesk,
        folder: tempfile::TempDir,
    }

    impl Trial {
        fn new(limits: DeskLimits) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("passwords");
            write(&path, "ann", "pencil");
            Self { desk: PasswordDesk::open(&path, limits).expect("a good file"), folder }
        }

        /// The answer, and whether it came at once.
        fn ask(&self, user: &str, password: &str) -> (Verdict, bool) {
            let (to, from) = channel();
            let question = Question {
                user: user.into(),
                password: password.as_bytes().into(),
                address: Some([192, 0, 2, 1].into()),
            };
            let answer = Box::new(move |verdict| {
                let _ = to.send(verdict);
            });
            match self.desk.ask(question, 0, answer) {
                Some(verdict) => (verdict, true),
                None => (from.recv().expect("an answer"), false),
            }
        }
    }

    fn write(path: &std::path::Path, user: &str, password: &str) {
        let hash = PasswordHash::make(password.as_bytes()).expect("randomness");
        std::fs::write(path, format!("{user}:{hash}\n")).expect("written");
    }

    #[test]
    fn who_was_right_is_known_without_hashing_until_the_file_changes() {
        let trial = Trial::new(LIMITS);
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Right, false));
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Right, true));
        assert_eq!(trial.ask("bob", "pencil"), (Verdict::Wrong, false));
        write(&trial.folder.path().join("passwords"), "ann", "rubber");
        trial.desk.reload();
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Wrong, false));
        assert_eq!(trial.ask("ann", "rubber"), (Verdict::Right, false));
        std::fs::write(trial.folder.path().join("passwords"), "nonsense").expect("written");
        trial.desk.reload();
        assert_eq!(trial.ask("ann", "rubber"), (Verdict::Right, true), "the old file holds");
        trial.desk.stop();
    }

    #[test]
    fn a_guesser_is_stopped_and_whoever_is_known_is_not() {
        let trial = Trial::new(LIMITS);
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Right, false));
        for guess in ["a", "b", "c"] {
            assert_eq!(trial.ask("ann", guess), (Verdict::Wrong, false));
        }
        assert_eq!(trial.ask("ann", "d"), (Verdict::TooOften, true));
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Right, true));
        trial.desk.stop();
    }

    #[test]
    fn a_desk_without_threads_is_unavailable_and_says_so_to_who_waits() {
        let trial = Trial::new(LIMITS);
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Unavailable, true));
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Right, false));
        trial.desk.stop();
        assert_eq!(trial.ask("ann", "other"), (Verdict::Unavailable, true));
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Right, true));
    }

    #[test]
    fn a_full_queue_is_told_at_once() {
        let limits = DeskLimits { queue_max: 0, ..LIMITS };
        let trial = Trial::new(limits);
        trial.desk.start().expect("a thread");
        for _ in 0..5 {
            assert_eq!(trial.ask("ann", "pencil"), (Verdict::Busy, true), "it does not count");
        }
        trial.desk.stop();
    }
}
