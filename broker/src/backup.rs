//! Backups that are asked for beside the broker, by a file in the data folder: whoever may write
//! there may ask, each by a number of his own. The broker makes them itself, one after the other,
//! as only it knows what is where. Copies nothing itself.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidewire_store::inspect::Progress;
use tidewire_store::{BackupReport, Disk, RealDisk, Store};

use crate::wall_clock::wall_clock_ms;

/// Files of this name and a number: asks for a backup, names where to.
const REQUEST: &str = "backup.request.";
/// The same: says how far it is, and what became of it.
const ANSWER: &str = "backup.answer.";
/// The broker has to read what root may have written. It holds a path alone, in a folder that is
/// closed to others.
const REQUEST_MODE: u32 = 0o644;
const ANSWER_MODE: u32 = 0o640;
/// So many last answers that could not be written are kept, the latest.
const UNTOLD_MAX: usize = 64;
/// How often it is said how far it is.
const TELL: Duration = Duration::from_millis(500);
/// How long a stop waits for the piece that is just copied. Only a disk that hangs takes longer.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What is said to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Another one is made first: bytes of that so far, of so many.
    Waiting(u64, u64),
    /// Bytes so far, of so many.
    Working(u64, u64),
    Done(BackupReport),
    Failed(String),
}

impl Answer {
    fn text(&self) -> String {
        match self {
            Self::Waiting(done, total) => format!("waiting {done} {total}\n"),
            Self::Working(done, total) => format!("working {done} {total}\n"),
            Self::Done(BackupReport { mark_ms, files, bytes, frames }) => {
                format!("done {mark_ms} {files} {bytes} {frames}\n")
            }
            Self::Failed(words) => format!("failed {words}\n"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.trim_end().split_once(' ')?;
        let mut numbers = rest.split(' ').map_while(|number| number.parse::<u64>().ok());
        match word {
            "waiting" => Some(Self::Waiting(numbers.next()?, numbers.next()?)),
            "working" => Some(Self::Working(numbers.next()?, numbers.next()?)),
            "failed" => Some(Self::Failed(rest.into())),
            "done" => {
                let mark_ms = i64::try_from(numbers.next()?).ok()?;
                let (files, bytes, frames) = (numbers.next()?, numbers.next()?, numbers.next()?);
                Some(Self::Done(BackupReport { mark_ms, files, bytes, frames }))
            }
            _ => None,
        }
    }
}

/// A backup that the broker that runs on a data folder is asked for.
pub(crate) struct Request {
    data: PathBuf,
    /// Nobody else's: who asks at the same time has another.
    number: String,
}

impl Request {
    /// Asks for it.
    pub(crate) fn make(data: &Path, to: &Path) -> io::Result<Self> {
        let number = format!("{:016x}", RealDisk::new(data).random());
        let request = data.join(format!("{REQUEST}{number}"));
        put(&request, &to.display().to_string(), REQUEST_MODE)?;
        Ok(Self { data: data.into(), number })
    }

    /// Whether nobody had begun it: then nobody will.
    pub(crate) fn take_back(self) -> bool {
        fs::remove_file(self.file(REQUEST)).is_ok()
    }

    /// What the broker has said so far.
    pub(crate) fn answer(&self) -> Option<Answer> {
        Answer::parse(&fs::read_to_string(self.file(ANSWER)).ok()?)
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.data.join(format!("{kind}{}", self.number))
    }
}

impl Drop for Request {
    /// Nobody waits for it any more.
    fn drop(&mut self) {
        for kind in [REQUEST, ANSWER] {
            let _ = fs::remove_file(self.file(kind));
        }
    }
}

/// Whether a file of this name is of a request, whole or not: whoever wrote it, the next start
/// deletes it.
pub(crate) fn is_left_over(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(REQUEST) || name.starts_with(ANSWER))
}

/// Whole or not at all.
fn put(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".tmp");
    let mut options = fs::OpenOptions::new();
    let mut open = options.write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    // Whatever the umask of who asks is.
    open.set_permissions(fs::Permissions::from_mode(mode))?;
    open.write_all(text.as_bytes())?;
    fs::rename(&temporary, file)
}

/// The numbers of files of this kind, the oldest first.
fn numbers(data: &Path, kind: &str) -> Vec<String> {
    let Ok(entries) = data.read_dir() else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix(kind)?;
            let is_number = number.bytes().all(|byte| byte.is_ascii_hexdigit());
            let since = entry.metadata().and_then(|about| about.modified()).ok();
            is_number.then(|| (since, number.to_owned()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, number)| number).collect()
}

/// Where the broker is asked.
pub(crate) struct BackupDesk {
    data: PathBuf,
    stop: Arc<AtomicBool>,
    working: Option<Working>,
    /// Last answers that could not be written: nobody is left to wait because a disk was full.
    untold: Vec<Told>,
}

/// What is said to whom.
type Told = (PathBuf, Answer);

/// The one that is made.
struct Working {
    thread: JoinHandle<Option<Told>>,
    has_ended: Receiver<()>,
    far: Arc<Far>,
}

/// How far it is, in bytes.
#[derive(Default)]
struct Far {
    done: AtomicU64,
    total: AtomicU64,
}

impl Far {
    fn set(&self, Progress { done, total }: Progress) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn waiting(&self) -> Answer {
        Answer::Waiting(self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

impl BackupDesk {
    /// What was asked of an earlier run is forgotten.
    pub(crate) fn new(data: &Path) -> Self {
        for entry in data.read_dir().into_iter().flatten().flatten() {
            if is_left_over(&entry.file_name()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Self { data: data.into(), stop: Arc::default(), working: None, untold: Vec::new() }
    }

    /// Begins what is asked for. One at a time: who comes later is told to wait.
    pub(crate) fn look(&mut self, store: &Store) {
        self.tell_again();
        for number in numbers(&self.data, REQUEST) {
            let request = self.data.join(format!("{REQUEST}{number}"));
            let answer = self.data.join(format!("{ANSWER}{number}"));
            if let Some(working) = &self.working {
                // One who is not told does not wait for ever, and is told at the next look.
                let _ = tell(&answer, &working.far.waiting());
                continue;
            }
            // Taken: it is not made twice. Who does not wait any more has taken it back.
            let Ok(to) = fs::read_to_string(&request) else { continue };
            if fs::remove_file(&request).is_ok() {
                self.begin(store, PathBuf::from(to), answer);
            }
        }
    }

    /// What could not be told before.
    fn tell_again(&mut self) {
        if let Some(working) = self.working.take_if(|working| working.thread.is_finished()) {
            self.untold.extend(ended(working.thread));
        }
        self.untold.retain(|(file, answer)| tell(file, answer).is_err());
        let forgotten = self.untold.len().saturating_sub(UNTOLD_MAX);
        self.untold.drain(..forgotten);
    }

    fn begin(&mut self, store: &Store, to: PathBuf, answer: PathBuf) {
        let (store, stop, told) = (store.clone(), Arc::clone(&self.stop), answer.clone());
        let (ended, has_ended) = channel();
        let far = Arc::<Far>::default();
        let own = Arc::clone(&far);
        let make = move || {
            let untold = make(&store, (&answer, &to), &own, &stop);
            drop(ended);
            untold
        };
        match std::thread::Builder::new().name("backup".into()).spawn(make) {
            Ok(thread) => self.working = Some(Working { thread, has_ended, far }),
            Err(error) => {
                self.untold.push((told, Answer::Failed(format!("no thread: {error}"))));
            }
        }
    }

    /// Breaks off what is under way. Who waits for it is told; a disk that hangs is not waited for.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let Some(Working { thread, has_ended, .. }) = self.working else { return };
        if has_ended.recv_timeout(STOP_WAIT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a backup hangs in writing: it is left where it is");
        } else {
            let _ = ended(thread);
        }
    }
}

fn ended(thread: JoinHandle<Option<Told>>) -> Option<Told> {
    thread.join().unwrap_or_else(|_| {
        tracing::error!("a backup ended in a panic");
        None
    })
}

fn tell(file: &Path, answer: &Answer) -> io::Result<()> {
    put(file, &answer.text(), ANSWER_MODE)
}

/// The last answer, if it could not be told.
fn make(store: &Store, (file, to): (&Path, &Path), far: &Far, stop: &AtomicBool) -> Option<Told> {
    tracing::info!(to = %to.display(), "a backup begins");
    let mut told = Instant::now();
    let mut watch = |progress: Progress| {
        far.set(progress);
        if told.elapsed() >= TELL {
            told = Instant::now();
            // Who misses this hears the next one, or the last.
            let _ = tell(file, &Answer::Working(progress.done, progress.total));
        }
        match stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let answer = match store.backup(to, wall_clock_ms(), &mut watch) {
        Ok(report) => {
            let BackupReport { files, bytes, .. } = report;
            tracing::info!(to = %to.display(), files, bytes, "a backup is made");
            Answer::Done(report)
        }
        Err(error) => {
            tracing::error!(to = %to.display(), %error, "a backup failed");
            Answer::Failed(error.to_string())
        }
    };
    let error = tell(file, &answer).err()?;
    tracing::warn!(%error, "who asked for a backup is not told that it ended: tried each second");
    Some((file.into(), answer))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::{Answer, BackupDesk, BackupReport, REQUEST_MODE, Request, put};
    use crate::core::alone::Alone;

    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn answers_are_read_as_they_were_written() {
        let report = BackupReport { mark_ms: 1, files: 2, bytes: 3, frames: 4 };
        let failed = Answer::Failed("there is no room".into());
        let [waiting, working] = [Answer::Waiting(1, 2), Answer::Working(1, 2)];
        for answer in [waiting, working, Answer::Done(report), failed] {
            assert_eq!(Answer::parse(&answer.text()), Some(answer));
        }
        assert_eq!(Answer::parse("done 1 2"), None);
    }

    #[test]
    fn what_a_request_left_is_gone_after_the_next_start_and_was_for_the_broker_to_read() {
        let data = tempfile::tempdir().expect("a folder");
        let [request, half] = ["backup.request.1f", "backup.request.20.tmp"];
        let [request, half] = [request, half].map(|name| data.path().join(name));
        // As a strict umask leaves them.
        let temporary = data.path().join("backup.request.1f.tmp");
        for file in [&temporary, &half] {
            fs::write(file, "").expect("written");
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("ours");
        }
        put(&request, "/there", REQUEST_MODE).expect("written");
        let mode = fs::metadata(&request).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, REQUEST_MODE);
        drop(BackupDesk::new(data.path()));
        assert_eq!(fs::read_dir(data.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn each_who_asks_at_the_same_time_hears_his_own_answer() {
        let data = tempfile::tempdir().expect("a folder");
        let alone = Alone::new(|_| ());
        let stale = Request::make(data.path(), Path::new("/nowhere")).expect("written");
        let mut desk = BackupDesk::new(data.path());
        desk.look(&alone.store);
        assert!(desk.working.is_none() && stale.answer().is_none(), "that was another run's");
        let goes_well = |number: u32| data.path().join(format!("copy {number}"));
        let mut asked: Vec<_> = (0..3)
            .map(|number| Request::make(data.path(), &goes_well(number)).expect("written"))
            .collect();
        // What is there already is not written over.
        let occupied = Request::make(data.path(), data.path()).expect("written");
        asked.push(occupied);
        let (mut answers, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while answers.len() < asked.len() {
            desk.look(&alone.store);
            answers = asked.iter().filter_map(|one| over(one.answer()?)).collect();
            assert!(Instant::now() < deadline, "{answers:?}");
            std::thread::yield_now();
        }
        let Some(Answer::Failed(words)) = answers.pop() else { panic!("{answers:?}") };
        assert!(words.contains("is not empty"), "{words}");
        assert!(answers.iter().all(|one| matches!(one, Answer::Done(_))), "{answers:?}");
        assert!((0..3).all(|number| goes_well(number).join("VERSION").exists()));
        desk.stop();
        drop(asked);
        assert!(super::numbers(data.path(), super::ANSWER).is_empty(), "nothing is left of them");
    }

    fn over(answer: Answer) -> Option<Answer> {
        (!matches!(answer, Answer::Waiting(..) | Answer::Working(..))).then_some(answer)
    }

    #[test]
    fn a_last_answer_that_could_not_be_written_is_written_when_it_can_be() {
        let data = tempfile::tempdir().expect("a folder");
        let alone = Alone::new(|_| ());
        let mut desk = BackupDesk::new(data.path());
        let asked = Request::make(data.path(), &data.path().join("copy")).expect("written");
        // Nothing takes the place of a folder that is not empty.
        let hindrance = asked.file(super::ANSWER);
        fs::create_dir_all(hindrance.join("within")).expect("made");
        let deadline = Instant::now() + PATIENCE;
        while desk.untold.is_empty() {
            desk.look(&alone.store);
            assert!(Instant::now() < deadline, "it ends");
            std::thread::yield_now();
        }
        fs::remove_dir_all(hindrance).expect("removed");
        desk.look(&alone.store);
        assert!(matches!(asked.answer(), Some(Answer::Done(_))), "{:?}", asked.answer());
        assert!(desk.untold.is_empty(), "it is told once");
        desk.stop();
    }

    #[test]
    fn a_request_that_is_taken_back_is_not_carried_out() {
        let data = tempfile::tempdir().expect("a folder");
        let alone = Alone::new(|_| ());
        let mut desk = BackupDesk::new(data.path());
        let copy = data.path().join("copy");
        assert!(Request::make(data.path(), &copy).expect("written").take_back());
        desk.look(&alone.store);
        assert!(desk.working.is_none());
        let begun = Request::make(data.path(), &copy).expect("written");
        desk.look(&alone.store);
        assert!(!begun.take_back(), "it is too late");
        desk.stop();
    }
}
