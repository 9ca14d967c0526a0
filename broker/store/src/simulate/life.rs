//! Lives of one data folder: open, compare, send, fail, crash, and again. Owns the store and its
//! disk; what must be found is the model's to say.

use std::sync::Arc;

use parking_lot::Mutex;

use super::model::{Contents, Model};
use super::observe;
use super::plan::{Ending, Plan, Trouble};
use super::tally::Tally;
use super::traffic::{Sent, Traffic};
use crate::commit::{Appended, Commit, CommitError, Follower, Outcome, Reply};
use crate::disk::sim::{Loss, SimDisk, SimRandom};
use crate::error::OpenError;
use crate::health::Health;
use crate::store::Store;

const SUBMITTERS: u64 = 3;

/// A history under way.
pub(super) struct History {
    plan: Plan,
    disk: Arc<SimDisk>,
    random: SimRandom,
    model: Model,
    traffic: Traffic,
    tally: Tally,
    /// The store failed in the life before.
    has_failed: bool,
}

impl History {
    pub(super) fn new(plan: Plan, disk: Arc<SimDisk>, mut random: SimRandom) -> Self {
        let traffic = Traffic::new(SimRandom(random.next()));
        let (model, tally) = (Model::default(), Tally::default());
        Self { plan, disk, random, model, traffic, tally, has_failed: false }
    }

    /// All lives, and a look at what is left in the end.
    pub(super) fn live(mut self) -> Result<Tally, String> {
        for life in 0..self.plan.lives {
            self.live_once().map_err(|what| format!("life {life}: {what}"))?;
            if self.random.percent(15) {
                self.plan.grow(&mut self.random);
            }
        }
        let store = self.open().map_err(|what| format!("at the end: {what}"))?;
        drop(store.ok_or("the store does not open on a disk that has no fault")?);
        self.tally.histories = 1;
        self.count_files();
        Ok(self.tally)
    }

    fn live_once(&mut self) -> Result<(), String> {
        let rounds = 1 + self.random.below(10);
        let mut trouble = Trouble::draw(&mut self.random, rounds);
        if std::mem::take(&mut self.has_failed) {
            let wal_file_bytes = self.plan.options.wal_file_bytes;
            let next = Trouble::after_failure(&mut self.random, wal_file_bytes);
            trouble = next.unwrap_or(trouble);
        }
        self.before_open(trouble);
        let store = self.open()?;
        let mut ending = Ending::draw(&mut self.random);
        if let Some(store) = store {
            let mut life = Life::new(self, &store);
            for round in 0..rounds {
                life.befall(trouble, round)?;
                life.round()?;
            }
            life.last_look()?;
            let is_writable = store.health() == Health::Writable;
            ending.clean &= is_writable && self.disk.has_power();
            if !is_writable && self.disk.has_power() {
                self.has_failed = true;
                ending = ending.after_failure(&mut self.random);
            }
            if ending.clean {
                self.stop(&store)?;
            }
            self.end(ending);
        } else {
            ending.clean = false;
            self.end(ending);
        }
        Ok(())
    }

    fn before_open(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::CutFromOpen(changes) => self.disk.cut_power_after(changes),
            Trouble::Fault { round: None, fault, after } => self.disk.fail_once(fault, after),
            Trouble::FullFromOpen { room } => {
                self.disk.set_capacity(Some(self.disk.used_bytes() + room));
                self.tally.full += 1;
            }
            _ => (),
        }
    }

    /// Open and compare everything; nothing if the disk gave a reason not to open.
    fn open(&mut self) -> Result<Option<Store>, String> {
        let faults = self.disk.faults_met();
        let (store, report) = match Store::open(self.disk.clone(), self.plan.options.clone()) {
            Ok(opened) => opened,
            Err(_) if !self.disk.has_power() || self.disk.faults_met() > faults => {
                self.tally.failed_opens += 1;
                return Ok(None);
            }
            // A full disk keeps nothing from opening but new streams.
            Err(OpenError::Streams(_)) if self.disk.is_limited() => {
                self.tally.failed_opens += 1;
                return Ok(None);
            }
            Err(error) => return Err(format!("the store does not open: {error}")),
        };
        self.tally.opens += 1;
        self.tally.frames += report.frames;
        self.tally.torn += u64::from(report.torn.is_some());
        if !self.disk.has_power() {
            return Ok(None);
        }
        if let Health::Failed(reason) = store.health() {
            let reasonable = self.disk.faults_met() > faults;
            return if reasonable { Ok(None) } else { Err(format!("it opens broken: {reason}")) };
        }
        let found = self.look(&store)?;
        let settled = self.model.found(&found)?;
        self.tally.unknown_found += settled.in_doubt_found;
        self.tally.unsynced_lost += settled.unsynced_lost;
        Ok(Some(store))
    }

    fn look(&mut self, store: &Store) -> Result<Contents, String> {
        observe::contents(store, self.plan.durability.len(), &mut self.random)
    }

    fn stop(&mut self, store: &Store) -> Result<(), String> {
        if store.shutdown().is_ok() {
            self.tally.stops += 1;
            self.model.stopped()?;
        }
        Ok(())
    }

    /// The power or the program is gone; the next life finds what is left.
    fn end(&mut self, ending: Ending) {
        match ending.loss {
            Loss::Nothing => self.tally.crashes += u64::from(!ending.clean),
            Loss::Everything | Loss::Some => self.tally.power_cuts += 1,
        }
        self.tally.faults += self.disk.faults_met();
        self.model.crashed(ending.loss);
        self.disk = self.disk.restart(ending.loss, self.random.next());
    }

    fn count_files(&mut self) {
        let files = self.disk.files();
        let numbers = files.iter().filter_map(|name| {
            name.strip_prefix("wal/")?.strip_suffix(".wal")?.parse::<u64>().ok()
        });
        self.tally.log_files = numbers.max().unwrap_or(0);
        let segments = files.iter().filter(|name| name.ends_with(".seg"));
        self.tally.segments = segments.count() as u64;
    }
}

/// One life, between open and end.
struct Life<'a> {
    history: &'a mut History,
    store: &'a Store,
    submitters: Vec<Arc<Submitter>>,
    tail: Arc<Tail>,
    /// The round in which there is room again.
    full_until: Option<u64>,
}

impl<'a> Life<'a> {
    fn new(history: &'a mut History, store: &'a Store) -> Self {
        let tail = Arc::new(Tail::default());
        store.follow(tail.clone());
        let submitters = (0..SUBMITTERS).map(|_| Arc::default()).collect();
        Self { history, store, submitters, tail, full_until: None }
    }

    fn befall(&mut self, trouble: Trouble, now: u64) -> Result<(), String> {
        let disk = &self.history.disk;
        match trouble {
            Trouble::Cut { round, changes } if round == now => disk.cut_power_after(changes),
            Trouble::Fault { round: Some(round), fault, after } if round == now => {
                disk.fail_once(fault, after);
            }
            Trouble::Full { round, room, rounds } if round == now => {
                disk.set_capacity(Some(disk.used_bytes() + room));
                self.full_until = Some(round + rounds);
                self.history.tally.full += 1;
            }
            _ => (),
        }
        if self.full_until == Some(now) { self.make_room() } else { Ok(()) }
    }

    /// A full disk passes without a restart.
    fn make_room(&mut self) -> Result<(), String> {
        self.full_until = None;
        self.history.disk.set_capacity(None);
        if self.store.health() != Health::Writable {
            return Err("a full disk stopped the store for good".into());
        }
        self.store.turn();
        let before = self.history.tally.acknowledged;
        let (sent, commit) = self.history.traffic.plain();
        self.submit(vec![(sent, commit)])?;
        if self.history.tally.acknowledged == before {
            return Err("there is room again, and a commit is refused".into());
        }
        Ok(())
    }

    /// Several submitters send, the writer turns, everyone compares.
    fn round(&mut self) -> Result<(), String> {
        let history = &mut *self.history;
        let count = 1 + history.random.below(12) * (1 + history.random.below(4));
        let durability = &history.plan.durability;
        let commits = (0..count).map(|_| history.traffic.next(durability)).collect();
        self.submit(commits)?;
        let is_writable = self.is_writable();
        let history = &mut *self.history;
        if history.random.percent(40) && is_writable && history.disk.has_power() {
            observe::glance(self.store, history.model.visible(), &mut history.random)?;
        }
        Ok(())
    }

    fn is_writable(&self) -> bool {
        self.store.health() == Health::Writable
    }

    fn submit(&mut self, commits: Vec<(Sent, Commit)>) -> Result<(), String> {
        let history = &mut *self.history;
        for (sent, commit) in commits {
            let who = history.random.below(SUBMITTERS);
            let submitter = &self.submitters[usize::try_from(who).expect("a few")];
            let reply: Arc<dyn Reply> = submitter.clone();
            self.store.submit(commit, Some((sent.number, reply)));
            history.model.sent(sent);
        }
        self.store.turn();
        self.hear()
    }

    /// Take the answers, and what the follower saw.
    fn hear(&mut self) -> Result<(), String> {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for submitter in &self.submitters {
            let own = std::mem::take(&mut *submitter.outcomes.lock());
            let good = own.iter().filter(|outcome| outcome.result.is_ok());
            if !good.map(|outcome| outcome.ticket).is_sorted() {
                return Err("a submitter's commits were answered out of order".into());
            }
            outcomes.extend(own);
        }
        outcomes.sort_unstable_by_key(|outcome| outcome.ticket);
        let History { model, tally, .. } = &mut *self.history;
        let seen_before: Vec<u64> = ends(model.visible());
        for outcome in &outcomes {
            match &outcome.result {
                Ok(_) => tally.acknowledged += 1,
                Err(CommitError::Failed(_)) => tally.unknown += 1,
                Err(_) => {
                    tally.refused += 1;
                    tally.kept_of_refused += u64::from(outcome.stayed.is_ok());
                }
            }
            model.answered(outcome)?;
        }
        model.all_answered()?;
        let appended = std::mem::take(&mut *self.tail.appended.lock());
        let (records, ends) = follow(&appended, seen_before)?;
        tally.records += records;
        // What was written and answered is never shown if the sync of what was beside it fails.
        if model.has_failed() { Ok(()) } else { caught_up(&ends, model.visible()) }
    }

    /// Everything once more, before it ends: what is read now has to be read after.
    fn last_look(&mut self) -> Result<(), String> {
        if self.full_until.is_some() && self.is_writable() && self.history.disk.has_power() {
            self.make_room()?;
        }
        let history = &mut *self.history;
        if !history.disk.has_power() || self.store.health() != Health::Writable {
            return Ok(());
        }
        if history.random.percent(50) {
            let mut found = history.look(self.store)?;
            let expected = history.model.visible();
            found.partitions.resize(expected.partitions.len().max(found.partitions.len()), vec![]);
            let mut expected = expected.clone();
            expected.partitions.resize(found.partitions.len(), vec![]);
            if found != expected {
                return Err("a running store shows other contents than it acknowledged".into());
            }
        }
        Ok(())
    }
}

fn ends(contents: &Contents) -> Vec<u64> {
    (0..).take(contents.partitions.len()).map(|partition| contents.end(partition)).collect()
}

/// The follower saw appends once and in order; answers how many records, and where they end.
fn follow(appended: &[Appended], mut ends: Vec<u64>) -> Result<(u64, Vec<u64>), String> {
    let mut records = 0;
    for one in appended {
        let partition = one.partition.0;
        let place = partition as usize;
        ends.resize(ends.len().max(place + 1), 0);
        let end = &mut ends[place];
        if one.base_offset != *end {
            let base = one.base_offset;
            return Err(format!("a follower of partition {partition} saw {base}, not {end}"));
        }
        *end += u64::from(one.batch.last_offset_delta()) + 1;
        records += u64::from(one.batch.record_count());
    }
    Ok((records, ends))
}

/// It saw all that was acknowledged, and nothing else.
fn caught_up(ends: &[u64], now: &Contents) -> Result<(), String> {
    let count = ends.len().max(now.partitions.len());
    for (partition, place) in (0..).zip(0..count) {
        let end = ends.get(place).copied().unwrap_or(0);
        if now.end(partition) != end {
            return Err(format!("a follower of partition {partition} saw up to {end}"));
        }
    }
    Ok(())
}

/// One of those who send, and hear what became of it.
#[derive(Default)]
struct Submitter {
    outcomes: Mutex<Vec<Outcome>>,
}

impl Reply for Submitter {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        self.outcomes.lock().append(outcomes);
    }
}

/// Follows all partitions.
#[derive(Default)]
struct Tail {
    appended: Mutex<Vec<Appended>>,
}

impl Follower for Tail {
    fn durable(&self, batches: &Arc<[Appended]>) {
        self.appended.lock().extend_from_slice(batches);
    }
}
