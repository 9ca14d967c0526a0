//! Backups that are asked for beside the broker, by a file in the data folder: whoever may write
//! there may ask. The broker makes them itself, as only it knows what is where. Copies nothing
//! itself.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidewire_store::inspect::Progress;
use tidewire_store::{BackupReport, Store};

use crate::wall_clock::wall_clock_ms;

/// Names where to.
const REQUEST: &str = "backup.request";
/// Says how far it is, and what became of it.
const ANSWER: &str = "backup.answer";
/// How often it is said how far it is.
const TELL: Duration = Duration::from_millis(500);

/// What is said to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Bytes so far, of so many.
    Working(u64, u64),
    Done(BackupReport),
    Failed(String),
}

impl Answer {
    fn text(&self) -> String {
        match self {
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

/// Asks the broker that runs on a data folder. False: somebody else is asking.
pub(crate) fn ask(data: &Path, to: &Path) -> io::Result<bool> {
    let request = data.join(REQUEST);
    if request.exists() {
        return Ok(false);
    }
    match fs::remove_file(data.join(ANSWER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    put(&request, &to.display().to_string())?;
    Ok(true)
}

/// What it has said so far.
pub(crate) fn answer(data: &Path) -> Option<Answer> {
    Answer::parse(&fs::read_to_string(data.join(ANSWER)).ok()?)
}

/// Nobody answered: nobody is to.
pub(crate) fn give_up(data: &Path) {
    let _ = fs::remove_file(data.join(REQUEST));
}

/// Whole or not at all.
fn put(file: &Path, text: &str) -> io::Result<()> {
    let temporary = file.with_extension("tmp");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, file)
}

/// Where the broker is asked.
pub(crate) struct BackupDesk {
    data: PathBuf,
    stop: Arc<AtomicBool>,
    working: Option<JoinHandle<()>>,
}

impl BackupDesk {
    /// What was asked of an earlier run is forgotten.
    pub(crate) fn new(data: &Path) -> Self {
        give_up(data);
        Self { data: data.into(), stop: Arc::default(), working: None }
    }

    /// Begins what is asked for. One at a time: the next one waits.
    pub(crate) fn look(&mut self, store: &Store) {
        if self.working.as_ref().is_some_and(|working| !working.is_finished()) {
            return;
        }
        let request = self.data.join(REQUEST);
        let Ok(to) = fs::read_to_string(&request) else { return };
        // Taken: another may ask.
        if fs::remove_file(&request).is_err() {
            return;
        }
        let (store, data, stop) = (store.clone(), self.data.clone(), Arc::clone(&self.stop));
        let make = move || make(&store, &data, Path::new(&to), &stop);
        match std::thread::Builder::new().name("backup".into()).spawn(make) {
            Ok(working) => self.working = Some(working),
            Err(error) => tell(&self.data, &Answer::Failed(format!("no thread: {error}"))),
        }
    }

    /// Breaks off what is under way, and waits for its end.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.working.is_some_and(|working| working.join().is_err()) {
            tracing::error!("a backup ended in a panic");
        }
    }
}

fn tell(data: &Path, answer: &Answer) {
    if let Err(error) = put(&data.join(ANSWER), &answer.text()) {
        tracing::warn!(%error, "who asked for a backup cannot be told how far it is");
    }
}

fn make(store: &Store, data: &Path, to: &Path, stop: &AtomicBool) {
    tracing::info!(to = %to.display(), "a backup begins");
    let mut told = Instant::now();
    let mut watch = |Progress { done, total }: Progress| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            tell(data, &Answer::Working(done, total));
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
    tell(data, &answer);
}

#[cfg(test)]
mod tests {
    use super::{Answer, BackupReport};

    #[test]
    fn answers_are_read_as_they_were_written() {
        let report = BackupReport { mark_ms: 1, files: 2, bytes: 3, frames: 4 };
        for answer in
            [Answer::Working(1, 2), Answer::Done(report), Answer::Failed("there is no room".into())]
        {
            assert_eq!(Answer::parse(&answer.text()), Some(answer));
        }
        assert_eq!(Answer::parse("done 1 2"), None);
    }
}
