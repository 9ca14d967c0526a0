//! Where passwords are checked: what is known at once, the rest by threads of its own, behind a
//! bounded queue. Never decides what a client hears, and knows no password itself.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::guesses::{Guesses, Standing};
use super::question::{Answer, Check, Found, Question, Verdict};
use super::queue::{Job, Next, Queue};
use crate::network::network_of;

/// How long somebody who is behind tries that another desk looks at waits at most before it is
/// looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What those hear for whom it is over.
const STOPPING: &str = "the broker is stopping, or not started yet";

/// What may wait, and who works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeskLimits {
    /// What its threads are called.
    pub(crate) name: &'static str,
    /// Threads that look.
    pub(crate) threads: usize,
    /// Questions that wait for them.
    pub(crate) queue_max: usize,
    /// How long one may wait for its turn; `None`: as long as there is somebody who asks.
    pub(crate) wait_max: Option<Duration>,
    /// Looking takes the processor: it steps back behind what serves clients. If not it takes
    /// others' time, and a stop does not wait for it.
    pub(crate) is_work: bool,
}

/// The desk.
#[derive(Clone)]
pub(crate) struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    limits: DeskLimits,
    check: Arc<dyn Check>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Taken after the queue, where both are.
    guesses: Arc<Mutex<Guesses>>,
    queue: Mutex<Queue>,
    /// Questions whose answer is on its way.
    parked: Mutex<Vec<Job>>,
    /// Something is in the queue, or it is over.
    due: Condvar,
    /// The last time that was handed in.
    now_ms: AtomicI64,
}

impl Desk {
    /// Who guesses is counted together with those elsewhere.
    pub(crate) fn new(
        check: Arc<dyn Check>,
        limits: DeskLimits,
        guesses: Arc<Mutex<Guesses>>,
    ) -> Self {
        let inner = Inner {
            limits,
            check,
            threads: Mutex::default(),
            guesses,
            queue: Mutex::new(Queue::new(limits.queue_max)),
            parked: Mutex::default(),
            due: Condvar::new(),
            now_ms: AtomicI64::new(i64::MIN),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Starts the threads. Before, and after `stop`, what is not known is unavailable.
    ///
    /// # Errors
    /// When the system has none to give.
    pub(crate) fn start(&self) -> io::Result<()> {
        for number in 0..self.inner.limits.threads {
            let inner = Arc::clone(&self.inner);
            let name = format!("{}-{number}", self.inner.limits.name);
            let thread = std::thread::Builder::new().name(name);
            self.inner.threads.lock().push(thread.spawn(move || inner.run())?);
        }
        Ok(())
    }

    /// Answers at once, or has `answer` called later.
    pub(crate) fn ask(&self, question: Question, now_ms: i64, answer: Answer) -> Option<Verdict> {
        let inner = &self.inner;
        inner.now_ms.fetch_max(now_ms, Ordering::Relaxed);
        let Some(is_spent) = inner.standing(&question, now_ms) else {
            return Some(Verdict::TooOften);
        };
        if let Some(verdict) = inner.check.recall(&question) {
            return Some(verdict);
        }
        if is_spent {
            let (address, user) = question.guessed();
            inner.guesses.lock().compared_in_vain(address, user, now_ms);
            return Some(Verdict::TooOften);
        }
        if inner.threads.lock().is_empty() {
            return Some(Verdict::Unavailable(STOPPING.into()));
        }
        let mut queue = inner.queue.lock();
        if queue.is_over {
            return Some(Verdict::Unavailable(STOPPING.into()));
        }
        let until = inner.limits.wait_max.map(|wait_max| Instant::now() + wait_max);
        if !queue.push(Job { question, answer, until }) {
            return Some(Verdict::Busy);
        }
        inner.due.notify_one();
        None
    }

    /// What some wait for has come, or will not.
    pub(crate) fn look_again(&self) {
        self.inner.unpark();
    }

    /// Waits for what is being looked at; what waits is answered with "unavailable".
    pub(crate) fn stop(&self) {
        let left = self.inner.queue.lock().end();
        self.inner.due.notify_all();
        let parked = std::mem::take(&mut *self.inner.parked.lock());
        for job in left.into_iter().chain(parked) {
            (job.answer)(Verdict::Unavailable(STOPPING.into()));
        }
        for thread in self.inner.threads.lock().drain(..) {
            if self.inner.limits.is_work && thread.join().is_err() {
                let name = self.inner.limits.name;
                tracing::error!(name, "a thread that checks who clients are ended in a panic");
            }
        }
    }
}

impl Inner {
    fn run(&self) {
        if self.limits.is_work {
            step_back();
        }
        while let Some(next) = self.next() {
            match next {
                Next::Refuse(job) => (job.answer)(Verdict::TooOften),
                Next::Look(job) => self.look_at(job),
            }
        }
    }

    fn look_at(&self, job: Job) {
        let question = &job.question;
        let found = match job.until {
            Some(until) if until <= Instant::now() => {
                let words = "who is asked does not answer in time";
                Found::Verdict(Verdict::Unavailable(words.into()))
            }
            // A panic must not leave its client without an answer, nor others.
            _ => catch_unwind(AssertUnwindSafe(|| self.check.check(question)))
                .unwrap_or_else(|_| Found::Verdict(Verdict::Unavailable("a panic".into()))),
        };
        self.count(question, &found);
        // One that was behind it is next for this thread; there may be more.
        self.due.notify_one();
        match found {
            Found::Verdict(verdict) => (job.answer)(verdict),
            Found::Later => self.park(job),
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
            // What is behind others is looked for again by the thread that looks at these; it may
            // be one of another desk.
            if queue.is_empty() {
                self.due.wait(&mut queue);
            } else {
                self.due.wait_for(&mut queue, LOOK_AGAIN);
            }
        }
    }

    /// Whether too many wrong ones came; `None`: so many that it is compared with nothing either.
    fn standing(&self, question: &Question, now_ms: i64) -> Option<bool> {
        let (address, user) = question.guessed();
        let guesses = self.guesses.lock();
        let is_spent = guesses.standing(address, user, now_ms) == Standing::Spent;
        (!is_spent || guesses.may_compare(address, user, now_ms)).then_some(is_spent)
    }

    fn count(&self, question: &Question, found: &Found) {
        let (address, user) = question.guessed();
        let mut guesses = self.guesses.lock();
        guesses.end(address, user);
        if matches!(found, Found::Verdict(Verdict::Wrong(_))) {
            guesses.spend(address, user, self.now_ms.load(Ordering::Relaxed));
        }
    }

    fn park(&self, job: Job) {
        let is_full = {
            let mut parked = self.parked.lock();
            let network = job.question.address.map(network_of);
            // Of one address half, as in the queue.
            let of_network = |parked: &Job| parked.question.address.map(network_of) == network;
            let is_spent = |parked: &[Job]| {
                let of_network = parked.iter().filter(|parked| of_network(parked)).count();
                let max = self.limits.queue_max;
                parked.len() >= max || (network.is_some() && of_network >= max.div_ceil(2))
            };
            if is_spent(&parked) {
                parked.retain(|parked| parked.question.asker.strong_count() > 0);
            }
            let is_full = is_spent(&parked);
            if is_full {
                drop(parked);
                (job.answer)(Verdict::Busy);
            } else {
                parked.push(job);
            }
            is_full
        };
        // It may have come just now, before there was anybody to be told.
        if !is_full && (self.queue.lock().is_over || !self.check.is_coming()) {
            self.unpark();
        }
    }

    fn unpark(&self) {
        let jobs = std::mem::take(&mut *self.parked.lock());
        let mut queue = self.queue.lock();
        if queue.is_over {
            drop(queue);
            for job in jobs {
                (job.answer)(Verdict::Unavailable(STOPPING.into()));
            }
            return;
        }
        queue.put_back(jobs);
        self.due.notify_all();
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

    use super::{Check, Desk, DeskLimits, Found, Guesses, Question, Verdict};
    use crate::passwords::{About, PasswordFile, PasswordHash, Shown};

    const LIMITS: DeskLimits =
        DeskLimits { name: "t", threads: 1, queue_max: 40, wait_max: None, is_work: true };
    const HOME: [u8; 4] = [192, 0, 2, 1];
    /// Wrong passwords from one address.
    const WRONG_MAX: u32 = 3;

    struct Trial {
        desk: Desk,
        file: Arc<PasswordFile>,
        folder: tempfile::TempDir,
    }

    impl Trial {
        fn new(limits: DeskLimits) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("passwords");
            write(&path, "ann", "pencil");
            let guesses = Arc::new(Mutex::new(Guesses::new(WRONG_MAX, 0)));
            let file = Arc::new(PasswordFile::open(&path, 10).expect("a good file"));
            let desk = Desk::new(Arc::clone(&file) as Arc<dyn Check>, limits, guesses);
            Self { desk, file, folder }
        }

        /// The answer, and whether it came at once.
        fn ask(&self, user: &str, password: &str) -> (&'static str, bool) {
            self.ask_from(HOME, user, password)
        }

        fn ask_from(&self, from: [u8; 4], user: &str, password: &str) -> (&'static str, bool) {
            self.ask_about(question(from, user, password))
        }

        fn ask_about(&self, asked: Asked) -> (&'static str, bool) {
            let (verdict, from) = begin_about(&self.desk, asked);
            match verdict {
                Some(verdict) => (word(&verdict), true),
                None => (word(&from.recv().expect("an answer")), false),
            }
        }

        /// The answer if it came at once, and where it comes from if not.
        fn begin(&self, user: &str, password: &str) -> (Option<Verdict>, Receiver<Verdict>) {
            begin(&self.desk, user, password)
        }
    }

    /// A question, and who waits for its answer.
    type Asked = (Question, Arc<()>);

    fn question(address: [u8; 4], user: &str, password: &str) -> Asked {
        let asker = Arc::new(());
        let question = Question {
            user: user.into(),
            password: password.as_bytes().into(),
            address: Some(address.into()),
            asker: Arc::downgrade(&asker),
            about: About::default(),
        };
        (question, asker)
    }

    fn begin(desk: &Desk, user: &str, password: &str) -> (Option<Verdict>, Receiver<Verdict>) {
        begin_about(desk, question(HOME, user, password))
    }

    fn begin_about(desk: &Desk, (question, asker): Asked) -> (Option<Verdict>, Receiver<Verdict>) {
        let (to, from) = channel();
        let answer = Box::new(move |verdict| {
            drop(asker);
            let _ = to.send(verdict);
        });
        (desk.ask(question, 0, answer), from)
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Right(_) => "right",
            Verdict::Wrong(_) => "wrong",
            Verdict::Ignored => "ignored",
            Verdict::TooOften => "too often",
            Verdict::Busy => "busy",
            Verdict::Unavailable(_) => "unavailable",
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
        assert_eq!(trial.ask("ann", "pencil"), ("right", false));
        assert_eq!(trial.ask("ann", "pencil"), ("right", true));
        assert_eq!(trial.ask("bob", "pencil"), ("wrong", false));
        write(&trial.folder.path().join("passwords"), "ann", "rubber");
        trial.file.reload();
        assert_eq!(trial.ask("ann", "pencil"), ("wrong", false));
        assert_eq!(trial.ask("ann", "rubber"), ("right", false));
        std::fs::write(trial.folder.path().join("passwords"), "nonsense").expect("written");
        trial.file.reload();
        assert_eq!(trial.ask("ann", "rubber"), ("right", true), "the old file holds");
        trial.desk.stop();
    }

    #[test]
    fn a_guesser_is_stopped_and_whoever_is_known_is_not() {
        let trial = Trial::new(LIMITS);
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask("ann", "pencil"), ("right", false));
        for guess in ["a", "b", "c"] {
            assert_eq!(trial.ask("ann", guess), ("wrong", false));
        }
        assert_eq!(trial.ask("ann", "d"), ("too often", true));
        assert_eq!(trial.ask("ann", "pencil"), ("right", true));
        trial.desk.stop();
    }

    #[test]
    fn who_guesses_too_often_is_not_told_by_what_is_remembered_of_others() {
        let elsewhere = [198, 51, 100, 9];
        let trial = Trial::new(LIMITS);
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask_from(HOME, "ann", "pencil"), ("right", false));
        for guess in ["a", "b", "c"] {
            assert_eq!(trial.ask_from(elsewhere, "ann", guess), ("wrong", false));
        }
        assert_eq!(trial.ask_from(elsewhere, "ann", "pencil"), ("too often", true));
        assert_eq!(trial.ask_from(HOME, "ann", "pencil"), ("right", true));
        trial.desk.stop();
    }

    #[test]
    fn who_guesses_where_the_user_is_has_so_many_tries_and_then_none() {
        let trial = Trial::new(LIMITS);
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask("ann", "pencil"), ("right", false));
        for guess in 0..WRONG_MAX {
            assert_eq!(trial.ask("ann", &guess.to_string()), ("wrong", false));
        }
        for guess in 0..10 * WRONG_MAX {
            assert_eq!(trial.ask("ann", "pencil"), ("right", true), "{guess}");
            assert_eq!(trial.ask("ann", &guess.to_string()), ("too often", true));
        }
        assert_eq!(trial.ask("ann", "pencil"), ("too often", true));
        trial.desk.stop();
    }

    #[test]
    fn what_nobody_can_guess_is_looked_at_however_many_wrong_ones_came() {
        let trial = Trial::new(LIMITS);
        trial.desk.start().expect("a thread");
        for guess in 0..WRONG_MAX {
            assert_eq!(trial.ask("ann", &guess.to_string()), ("wrong", false));
        }
        assert_eq!(trial.ask("ann", "pencil"), ("too often", true));
        let certificate = || About { certificate: Some("ann".into()), ..About::default() };
        let token = || About { is_token: true, ..About::default() };
        let ask = |password: &str, about: About| {
            let (mut question, asker) = question(HOME, "ann", password);
            question.about = about;
            trial.ask_about((question, asker)).0
        };
        for guess in 0..=WRONG_MAX {
            assert_eq!(ask(&guess.to_string(), certificate()), "wrong");
            assert_eq!(ask(&guess.to_string(), token()), "wrong");
        }
        assert_eq!((ask("pencil", certificate()), ask("pencil", token())), ("right", "right"));
        trial.desk.stop();
    }

    #[test]
    fn right_passwords_that_come_together_are_no_guesses() {
        let trial = Trial::new(DeskLimits { threads: 2, ..LIMITS });
        let users = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let hash = PasswordHash::make(b"pencil").expect("randomness");
        let lines = users.map(|user| format!("{user}:{hash}\n"));
        std::fs::write(trial.folder.path().join("passwords"), lines.concat()).expect("written");
        trial.file.reload();
        trial.desk.start().expect("threads");
        let asked = users.map(|user| trial.begin(user, "pencil"));
        for (at_once, from) in asked {
            assert_eq!(at_once, None);
            assert_eq!(word(&from.recv().expect("an answer")), "right");
        }
        // Of wrong ones that come together no more are looked at than of others.
        let asked = users.map(|user| trial.begin(user, "rubber"));
        let verdict = |(at_once, from): (Option<Verdict>, Receiver<Verdict>)| {
            word(&at_once.unwrap_or_else(|| from.recv().expect("an answer")))
        };
        let verdicts = asked.map(verdict);
        let count = |of| verdicts.iter().filter(|verdict| **verdict == of).count();
        assert_eq!((count("wrong"), count("too often")), (3, 5), "{verdicts:?}");
        trial.desk.stop();
    }

    #[test]
    fn a_desk_without_threads_is_unavailable_and_says_so_to_who_waits() {
        let trial = Trial::new(LIMITS);
        assert_eq!(trial.ask("ann", "pencil"), ("unavailable", true));
        trial.desk.start().expect("a thread");
        assert_eq!(trial.ask("ann", "pencil"), ("right", false));
        trial.desk.stop();
        assert_eq!(trial.ask("ann", "other"), ("unavailable", true));
        assert_eq!(trial.ask("ann", "pencil"), ("right", true));
    }

    #[test]
    fn a_full_queue_is_told_at_once() {
        let limits = DeskLimits { queue_max: 0, ..LIMITS };
        let trial = Trial::new(limits);
        trial.desk.start().expect("a thread");
        for _ in 0..5 {
            assert_eq!(trial.ask("ann", "pencil"), ("busy", true), "it does not count");
        }
        trial.desk.stop();
    }

    /// Knows nothing until it is told, and may be told at any time.
    #[derive(Default)]
    struct Slow {
        has_come: Mutex<bool>,
        is_coming: Mutex<bool>,
    }

    impl Check for Slow {
        fn recall(&self, _: &Question) -> Option<Verdict> {
            None
        }

        fn check(&self, question: &Question) -> Found {
            match *self.has_come.lock() {
                true => Found::Verdict(Verdict::Right(Shown::plain(question.user.clone(), "x"))),
                false => Found::Later,
            }
        }

        fn is_coming(&self) -> bool {
            *self.is_coming.lock()
        }
    }

    #[test]
    fn who_waits_for_what_is_on_its_way_is_answered_when_it_has_come_and_at_the_end() {
        let slow = Arc::new(Slow::default());
        *slow.is_coming.lock() = true;
        let guesses = Arc::new(Mutex::new(Guesses::new(1, 1)));
        let desk = Desk::new(Arc::clone(&slow) as Arc<dyn Check>, LIMITS, guesses);
        desk.start().expect("a thread");
        let asked: Vec<_> = (0..3).map(|_| begin(&desk, "ann", "x")).collect();
        *slow.has_come.lock() = true;
        *slow.is_coming.lock() = false;
        desk.look_again();
        for (at_once, from) in asked {
            assert_eq!(at_once, None);
            // One that was looked at before and is set aside after that looks again by itself.
            assert_eq!(word(&from.recv().expect("an answer")), "right");
        }
        *slow.has_come.lock() = false;
        *slow.is_coming.lock() = true;
        let (at_once, from) = begin(&desk, "ann", "x");
        assert_eq!(at_once, None);
        desk.stop();
        assert_eq!(word(&from.recv().expect("an answer")), "unavailable");
    }

    #[test]
    fn one_address_has_half_of_the_places_of_those_who_wait_for_what_is_on_its_way() {
        let slow = Arc::new(Slow::default());
        *slow.is_coming.lock() = true;
        let guesses = Arc::new(Mutex::new(Guesses::new(0, 0)));
        let limits = DeskLimits { queue_max: 4, ..LIMITS };
        let desk = Desk::new(Arc::clone(&slow) as Arc<dyn Check>, limits, guesses);
        desk.start().expect("a thread");
        let parks = |address: [u8; 4], parked: usize| {
            let asked = begin_about(&desk, question(address, "ann", "x"));
            assert_eq!(asked.0, None, "it has a place in the queue");
            while desk.inner.parked.lock().len() < parked {
                std::thread::yield_now();
            }
            asked.1
        };
        let mut waiting = vec![parks(HOME, 1), parks(HOME, 2)];
        let (at_once, from) = begin(&desk, "ann", "x");
        assert_eq!(at_once, None);
        assert_eq!(word(&from.recv().expect("an answer")), "busy");
        waiting.extend([parks([198, 51, 100, 9], 3), parks([198, 51, 100, 7], 4)]);
        *slow.has_come.lock() = true;
        *slow.is_coming.lock() = false;
        desk.look_again();
        for from in waiting {
            assert_eq!(word(&from.recv().expect("an answer")), "right");
        }
        desk.stop();
    }

    #[test]
    fn who_waited_longer_than_it_may_is_told_without_a_look() {
        let slow = Arc::new(Slow { has_come: Mutex::new(true), ..Slow::default() });
        let limits = DeskLimits { wait_max: Some(std::time::Duration::ZERO), ..LIMITS };
        let guesses = Arc::new(Mutex::new(Guesses::new(1, 1)));
        let desk = Desk::new(slow, limits, guesses);
        desk.start().expect("a thread");
        for _ in 0..3 {
            let (at_once, from) = begin(&desk, "ann", "x");
            assert_eq!(at_once, None);
            assert_eq!(word(&from.recv().expect("an answer")), "unavailable", "it counts not");
        }
        desk.stop();
    }
}
