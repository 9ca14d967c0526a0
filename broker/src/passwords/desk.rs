//! Where passwords are checked: what is known at once, the rest by threads of its own, behind a
//! bounded queue. Never decides what a client hears.

use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, RwLock};

use super::book::{Book, PasswordFileError, load};
use super::guesses::{Guesses, Standing};
use super::question::{Answer, Question, Verdict};
use super::queue::{Job, Next, Queue};
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
}

/// The desk.
pub(crate) struct PasswordDesk {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    limits: DeskLimits,
    book: RwLock<Arc<Book>>,
    watch: FileWatch,
    /// Taken after the queue, where both are.
    guesses: Arc<Mutex<Guesses>>,
    queue: Mutex<Queue>,
    /// Something is in the queue, or it is over.
    due: Condvar,
    /// The last time that was handed in.
    now_ms: AtomicI64,
}

impl PasswordDesk {
    /// Reads the file for the first time. Who guesses is counted together with those elsewhere.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is wrong.
    pub(crate) fn open(
        path: &Path,
        limits: DeskLimits,
        guesses: Arc<Mutex<Guesses>>,
    ) -> Result<Self, PasswordFileError> {
        let watch = FileWatch::new(vec![path.into()]);
        let book = RwLock::new(Arc::new(load(path, limits.checked_max)?));
        let inner = Inner {
            limits,
            book,
            watch,
            guesses,
            queue: Mutex::new(Queue::new(limits.queue_max)),
            due: Condvar::new(),
            now_ms: AtomicI64::new(i64::MIN),
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
        inner.now_ms.fetch_max(now_ms, Ordering::Relaxed);
        let Some(is_spent) = inner.standing(&question, now_ms) else {
            return Some(Verdict::TooOften);
        };
        if inner.book.read().recall(user, &question.password, address).is_ok() {
            return Some(Verdict::Right);
        }
        if is_spent {
            inner.guesses.lock().compared_in_vain(address, user, now_ms);
            return Some(Verdict::TooOften);
        }
        if self.threads.lock().is_empty() {
            return Some(Verdict::Unavailable);
        }
        let mut queue = inner.queue.lock();
        if queue.is_over {
            return Some(Verdict::Unavailable);
        }
        if !queue.push(Job { question, answer }) {
            return Some(Verdict::Busy);
        }
        inner.due.notify_one();
        None
    }

    /// Reads the file anew when it has changed, and not since the last look: it is written by then.
    pub(crate) fn look(&self) {
        self.inner.watch.look(|| self.inner.read());
    }

    /// Reads the file anew now.
    pub(crate) fn reload(&self) {
        self.inner.watch.reload(|| self.inner.read());
    }

    /// Waits for what is being hashed; what waits is answered with "unavailable".
    pub(crate) fn stop(&self) {
        let left = self.inner.queue.lock().end();
        self.inner.due.notify_all();
        for job in left {
            (job.answer)(Verdict::Unavailable);
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
        while let Some(next) = self.next() {
            let (job, verdict) = match next {
                Next::Refuse(job) => (job, Verdict::TooOften),
                Next::Look(job) => {
                    // A panic must not leave its client without an answer, nor others.
                    let checked = catch_unwind(AssertUnwindSafe(|| self.check(&job.question)));
                    let verdict = checked.unwrap_or(Verdict::Unavailable);
                    self.count(&job.question, verdict);
                    // One that was behind it is next for this thread; there may be more.
                    self.due.notify_one();
                    (job, verdict)
                }
            };
            (job.answer)(verdict);
        }
    }

    fn next(&self) -> Option<Next> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_over {
                return None;
            }
            let now_ms = self.now_ms.load(Ordering::Relaxed);
            let next = queue.next(&mut self.guesses.lock(), now_ms);
            if next.is_some() {
                return next;
            }
            // What is behind others is looked for again by the thread that looks at these.
            self.due.wait(&mut queue);
        }
    }

    /// Whether too many wrong ones came; `None`: so many that it is compared with nothing either.
    fn standing(&self, question: &Question, now_ms: i64) -> Option<bool> {
        let (address, user) = (question.address, &*question.user);
        let guesses = self.guesses.lock();
        let is_spent = guesses.standing(address, user, now_ms) == Standing::Spent;
        (!is_spent || guesses.may_compare(address, user, now_ms)).then_some(is_spent)
    }

    fn count(&self, question: &Question, verdict: Verdict) {
        let Question { user, address, .. } = question;
        let mut guesses = self.guesses.lock();
        guesses.end(*address, user);
        if verdict == Verdict::Wrong {
            guesses.spend(*address, user, self.now_ms.load(Ordering::Relaxed));
        }
    }

    fn check(&self, question: &Question) -> Verdict {
        let Question { user, password, address, .. } = question;
        let book = Arc::clone(&self.book.read());
        // Another connection may have asked the same meanwhile.
        match book.recall(user, password, *address) {
            Ok(()) => Verdict::Right,
            Err(trace) => match book.check(user, password) {
                Some(true) => {
                    book.remember(trace);
                    Verdict::Right
                }
                Some(false) => Verdict::Wrong,
                None => Verdict::Unavailable,
            },
        }
    }

    /// Of a file that is wrong nothing is taken.
    fn read(&self) {
        for path in self.watch.paths() {
            match load(path, self.limits.checked_max) {
                Ok(book) => {
                    let users = book.len();
                    *self.book.write() = Arc::new(book);
                    tracing::info!(users, "the password file is read anew");
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
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    use parking_lot::Mutex;

    use super::{DeskLimits, Guesses, PasswordDesk, Question, Verdict};
    use crate::passwords::PasswordHash;

    const LIMITS: DeskLimits = DeskLimits { threads: 1, queue_max: 40, checked_max: 10 };
    /// Wrong passwords from one address.
    const WRONG_MAX: u32 = 3;

    struct Trial {
        desk: PasswordDesk,
        folder: tempfile::TempDir,
    }

    impl Trial {
        fn new(limits: DeskLimits) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("passwords");
            write(&path, "ann", "pencil");
            let guesses = Arc::new(Mutex::new(Guesses::new(WRONG_MAX, 0)));
            Self { desk: PasswordDesk::open(&path, limits, guesses).expect("a good file"), folder }
        }

        /// The answer, and whether it came at once.
        fn ask(&self, user: &str, password: &str) -> (Verdict, bool) {
            self.ask_from([192, 0, 2, 1], user, password)
        }

        fn ask_from(&self, from: [u8; 4], user: &str, password: &str) -> (Verdict, bool) {
            let (verdict, from) = self.begin_from(from, user, password);
            match verdict {
                Some(verdict) => (verdict, true),
                None => (from.recv().expect("an answer"), false),
            }
        }

        /// The answer if it came at once, and where it comes from if not.
        fn begin(&self, user: &str, password: &str) -> (Option<Verdict>, Receiver<Verdict>) {
            self.begin_from([192, 0, 2, 1], user, password)
        }

        fn begin_from(
            &self,
            address: [u8; 4],
            user: &str,
            password: &str,
        ) -> (Option<Verdict>, Receiver<Verdict>) {
            let (to, from) = channel();
            let asker = Arc::new(());
            let question = Question {
                user: user.into(),
                password: password.as_bytes().into(),
                address: Some(address.into()),
                asker: Arc::downgrade(&asker),
            };
            let answer = Box::new(move |verdict| {
                drop(asker);
                let _ = to.send(verdict);
            });
            (self.desk.ask(question, 0, answer), from)
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
    fn who_guesses_too_often_is_not_told_by_what_is_remembered_of_others() {
        let (home, elsewhere) = ([192, 0, 2, 1], [198, 51, 100, 9]);
        let trial = Trial::new(LIMITS);
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask_from(home, "ann", "pencil"), (Verdict::Right, false));
        for guess in ["a", "b", "c"] {
            assert_eq!(trial.ask_from(elsewhere, "ann", guess), (Verdict::Wrong, false));
        }
        assert_eq!(trial.ask_from(elsewhere, "ann", "pencil"), (Verdict::TooOften, true));
        assert_eq!(trial.ask_from(home, "ann", "pencil"), (Verdict::Right, true));
        trial.desk.stop();
    }

    #[test]
    fn who_guesses_where_the_user_is_has_so_many_tries_and_then_none() {
        let trial = Trial::new(LIMITS);
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::Right, false));
        for guess in 0..WRONG_MAX {
            assert_eq!(trial.ask("ann", &guess.to_string()), (Verdict::Wrong, false));
        }
        for guess in 0..10 * WRONG_MAX {
            assert_eq!(trial.ask("ann", "pencil"), (Verdict::Right, true), "{guess}");
            assert_eq!(trial.ask("ann", &guess.to_string()), (Verdict::TooOften, true));
        }
        assert_eq!(trial.ask("ann", "pencil"), (Verdict::TooOften, true));
        trial.desk.stop();
    }

    #[test]
    fn right_passwords_that_come_together_are_no_guesses() {
        let trial = Trial::new(DeskLimits { threads: 2, ..LIMITS });
        let users = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let hash = PasswordHash::make(b"pencil").expect("randomness");
        let lines = users.map(|user| format!("{user}:{hash}\n"));
        std::fs::write(trial.folder.path().join("passwords"), lines.concat()).expect("written");
        trial.desk.reload();
        trial.desk.start().expect("threads");
        let asked = users.map(|user| trial.begin(user, "pencil"));
        for (at_once, from) in asked {
            assert_eq!(at_once, None);
            assert_eq!(from.recv().expect("an answer"), Verdict::Right);
        }
        // Of wrong ones that come together no more are looked at than of others.
        let asked = users.map(|user| trial.begin(user, "rubber"));
        let verdict = |(at_once, from): (Option<Verdict>, Receiver<Verdict>)| {
            at_once.unwrap_or_else(|| from.recv().expect("an answer"))
        };
        let verdicts = asked.map(verdict);
        let count = |of| verdicts.iter().filter(|verdict| **verdict == of).count();
        assert_eq!((count(Verdict::Wrong), count(Verdict::TooOften)), (3, 5), "{verdicts:?}");
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
