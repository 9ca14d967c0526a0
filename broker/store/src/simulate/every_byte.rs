//! One short history in which the power is cut after every byte, each time with all that was not
//! synced kept, lost, or torn. Owns that history; the model says what must be found.
//!
//! After each cut the folder is opened as far as recovery goes, and all that is there is read. At
//! the ends of every write and at all other changes, the store moreover files its log and seals.

use std::ops::AddAssign;
use std::sync::Arc;

use parking_lot::Mutex;

use super::model::Model;
use super::observe;
use super::plan::Plan;
use super::traffic::Traffic;
use crate::commit::{Outcome, Reply};
use crate::disk::sim::{Loss, Moment, SimDisk, SimRandom};
use crate::store::Store;

/// Enough for several files of the write-ahead log, their checkpoints, and files that are used
/// again.
const COMMITS: u64 = 80;

/// Bytes from one cut to the next. A byte that lies in the file already is no place of its own.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// In the files that are ours.
    pub own: usize,
    /// In the database of the tables, which writes whole pages.
    pub tables: usize,
}

/// The cuts that one thread makes: every `of`-th. The history is the same for all threads.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Which of them, from 0 on.
    pub part: u64,
    /// How many threads there are.
    pub of: u64,
}

impl Share {
    /// Every cut.
    pub const ALL: Self = Self { part: 0, of: 1 };
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Places at which the power was cut.
    pub places: u64,
    /// Opens after a cut, each compared with all that must be there.
    pub opens: u64,
}

impl AddAssign for Cuts {
    fn add_assign(&mut self, more: Self) {
        self.places += more.places;
        self.opens += more.opens;
    }
}

/// Cut everywhere, from the empty disk to the clean stop.
///
/// # Errors
/// At the first cut after which the store does not open, or holds anything but a prefix of the
/// commits that contains every one it acknowledged.
pub fn every_byte(steps: Steps, share: Share) -> Result<Cuts, String> {
    let plan = Plan::smallest();
    let disk = SimDisk::new(1);
    let shared = Arc::new(Mutex::new(Watcher::new(steps, share)));
    let watcher = Arc::clone(&shared);
    disk.watch(move |moment| watcher.lock().visit(moment));
    let opened = Store::open(disk, plan.options.clone());
    let (store, _) = opened.map_err(|error| error.to_string())?;
    let mut traffic = Traffic::new(SimRandom(9));
    for _ in 0..COMMITS {
        let (sent, commit) = traffic.next(&plan.durability);
        let answer = Arc::new(Answer::default());
        let number = sent.number;
        shared.lock().model.sent(sent);
        store.submit(commit, Some((number, Arc::clone(&answer) as Arc<dyn Reply>)));
        store.turn_writer();
        let outcome = answer.0.lock().take().ok_or("a commit was not answered")?;
        shared.lock().model.answered(&outcome)?;
        store.turn();
        if let Some(problem) = shared.lock().problem.take() {
            return Err(problem);
        }
    }
    store.shutdown().map_err(|error| error.to_string())?;
    let mut watcher = shared.lock();
    watcher.problem.take().map_or(Ok(watcher.cuts), Err)
}

/// Cuts the power at every moment it is shown.
struct Watcher {
    steps: Steps,
    share: Share,
    /// Places so far, of all threads.
    places: u64,
    model: Model,
    cuts: Cuts,
    problem: Option<String>,
}

impl Watcher {
    fn new(steps: Steps, share: Share) -> Self {
        let (model, cuts) = (Model::default(), Cuts::default());
        Self { steps, share, places: 0, model, cuts, problem: None }
    }

    fn visit(&mut self, moment: &Moment<'_>) {
        let is_table = moment.name.starts_with("tables");
        let step = if is_table { self.steps.tables } else { self.steps.own };
        let length = moment.bytes();
        let places = (0..length).step_by(step);
        let places = places.filter(|written| *written == 0 || moment.is_changed_by(*written));
        // All of it written and not synced is a place of its own.
        for written in places.chain((length > 0).then_some(length)) {
            let is_ours = self.places % self.share.of == self.share.part;
            self.places += 1;
            if is_ours && self.problem.is_none() {
                self.cut_at(moment, written);
            }
        }
    }

    fn cut_at(&mut self, moment: &Moment<'_>, written: usize) {
        self.cuts.places += 1;
        // What was lost before the write began is lost in every place of it alike.
        let losses = [Loss::Nothing, Loss::Some, Loss::Everything];
        let losses = &losses[..if written == 0 { 3 } else { 2 }];
        let is_whole = written == 0 || written == moment.bytes();
        for loss in losses {
            let found = SimDisk::cut(moment, written, *loss, self.cuts.opens);
            if let Err(what) = compare(found, is_whole, self.model.clone(), *loss) {
                let (name, all) = (moment.name, moment.bytes());
                let place = format!("{name}: power cut after {written} of {all} bytes");
                self.problem = Some(format!("{place}, {loss:?}: {what}"));
                return;
            }
            self.cuts.opens += 1;
        }
    }
}

fn compare(disk: Arc<SimDisk>, goes_on: bool, mut model: Model, loss: Loss) -> Result<(), String> {
    let plan = Plan::smallest();
    let opened = match goes_on {
        true => Store::open(disk, plan.options).map(|(store, _)| store),
        false => Store::recovered(disk, plan.options),
    };
    let store = opened.map_err(|error| error.to_string())?;
    let mut random = SimRandom(1);
    let found = observe::contents(&store, plan.durability.len(), &mut random)?;
    model.crashed(loss);
    model.found(&found).map(|_| ())
}

#[derive(Default)]
struct Answer(Mutex<Option<Outcome>>);

impl Reply for Answer {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        *self.0.lock() = outcomes.pop();
    }
}
