//! Members of the newer kind (KIP-848): each says what it wants to read, the group shares out.
//! Nobody is stopped: a partition goes to another only once who had it says that it let go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::groups::limits::Limits;
use crate::groups::moment::Moment;
use crate::groups::refusal::Refusal;
use crate::groups::request::{Beat, Pulse, Spot};
use crate::groups::shares::{Reader as Share, Topic, share};

/// In the place of an epoch: a member joins.
const JOINS: i32 = 0;
/// It leaves.
const LEAVES: i32 = -1;
/// It leaves, and comes back as the same instance.
const PAUSES: i32 = -2;

/// Such members of one group.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// How often it was shared out anew.
    pub(super) epoch: i32,
    pub(super) all: BTreeMap<Arc<str>, Reader>,
    /// How many partitions the topics had when it was shared out.
    counts: BTreeMap<Arc<str>, u32>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) instance: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) host: Arc<str>,
    rebalance_ms: u64,
    silent_until: u64,
    /// It is out if it has not let go by then.
    let_go_by: Option<u64>,
    /// What it was told last.
    pub(super) epoch: i32,
    /// What it was told before that: it may not have heard the last.
    previous: i32,
    pub(super) topics: BTreeSet<Arc<str>>,
    /// What it is to read.
    pub(super) target: BTreeSet<Spot>,
    /// What it was told to read.
    pub(super) told: BTreeSet<Spot>,
    /// What it may be reading: nobody else is told to.
    owned: BTreeSet<Spot>,
}

impl Readers {
    /// A member says how it is, and hears what it is to read.
    pub(super) fn beat(
        &mut self,
        beat: &Beat,
        now: Moment,
        limits: &Limits,
    ) -> Result<Pulse, Refusal> {
        match beat.epoch {
            LEAVES => return self.leave(&beat.member),
            PAUSES => return self.pause(beat, now, limits),
            JOINS => self.enter(beat, limits)?,
            _ => self.check_beat(beat)?,
        }
        let is_new = beat.epoch == JOINS;
        let reader = self.all.get_mut(&beat.member).ok_or(Refusal::UnknownMember)?;
        reader.heard(now, limits);
        let mut is_other = is_new;
        if let Some(topics) = &beat.topics {
            is_other |= reader.topics != *topics;
            reader.topics.clone_from(topics);
        }
        for (topic, count) in &beat.counts {
            is_other |= self.counts.insert(Arc::clone(topic), *count) != Some(*count);
        }
        if is_other {
            self.share_out();
        }
        if let Some(owned) = &beat.owned {
            let reader = self.all.get_mut(&beat.member).ok_or(Refusal::UnknownMember)?;
            let Reader { owned: held, told, target, .. } = reader;
            // What it was told and does not say that it has, it may not have heard of: it hears
            // again of what it still is to read, and never of the rest.
            let hears = |spot: &Spot| told.contains(spot) && target.contains(spot);
            held.retain(|spot| owned.contains(spot) || hears(spot));
        }
        let is_behind = self.all.get(&beat.member).is_some_and(|it| it.epoch != beat.epoch);
        let is_told = is_new || is_behind || beat.owned.is_some();
        self.reconcile(&beat.member, is_told, now)
    }

    /// Is this a member that knows how it is? It may not have heard the last answer.
    fn check_beat(&self, beat: &Beat) -> Result<(), Refusal> {
        let reader = self.identify(&beat.member, beat.instance.as_ref())?;
        match [reader.epoch, reader.previous].contains(&beat.epoch) {
            true => Ok(()),
            false => Err(Refusal::FencedEpoch),
        }
    }

    /// May a member with this epoch commit? One that is behind hears the newer one, and asks again.
    pub(super) fn check_commit(
        &self,
        member: &Arc<str>,
        instance: Option<&Arc<str>>,
        epoch: i32,
    ) -> Result<(), Refusal> {
        match self.identify(member, instance)?.epoch == epoch {
            true => Ok(()),
            false => Err(Refusal::StaleEpoch),
        }
    }

    fn identify(&self, member: &Arc<str>, instance: Option<&Arc<str>>) -> Result<&Reader, Refusal> {
        let reader = self.all.get(member).ok_or(Refusal::UnknownMember)?;
        match instance.is_some() && reader.instance.as_ref() != instance {
            true => Err(Refusal::Fenced),
            false => Ok(reader),
        }
    }

    fn enter(&mut self, beat: &Beat, limits: &Limits) -> Result<(), Refusal> {
        let same = |reader: &Reader| beat.instance.is_some() && reader.instance == beat.instance;
        let known = self.all.iter().find(|(_, reader)| same(reader));
        let known = known.map(|(id, reader)| (Arc::clone(id), reader.epoch));
        let (mut target, mut epoch) = (BTreeSet::new(), JOINS);
        match known {
            Some((id, was)) if id != beat.member && was != PAUSES => {
                return Err(Refusal::Unreleased);
            }
            Some((id, _)) => {
                let before = self.all.remove(&id);
                target = before.map(|before| before.target).unwrap_or_default();
                epoch = self.epoch;
            }
            // A client that lost its memory reads nothing.
            None => drop(self.all.remove(&beat.member)),
        }
        if self.all.len() >= limits.members_max {
            return Err(Refusal::Full);
        }
        let reader = Reader {
            instance: beat.instance.clone(),
            client_id: Arc::clone(&beat.client_id),
            host: Arc::clone(&beat.host),
            rebalance_ms: u64::try_from(beat.rebalance_ms).unwrap_or(0).max(1),
            silent_until: 0,
            let_go_by: None,
            epoch,
            previous: JOINS,
            topics: BTreeSet::new(),
            target,
            told: BTreeSet::new(),
            owned: BTreeSet::new(),
        };
        self.all.insert(Arc::clone(&beat.member), reader);
        Ok(())
    }

    /// A member goes.
    pub(super) fn leave(&mut self, member: &Arc<str>) -> Result<Pulse, Refusal> {
        self.all.remove(member).ok_or(Refusal::UnknownMember)?;
        self.share_out();
        Ok(Pulse { epoch: LEAVES, assignment: None })
    }

    fn pause(&mut self, beat: &Beat, now: Moment, limits: &Limits) -> Result<Pulse, Refusal> {
        let reader = self.all.get_mut(&beat.member).ok_or(Refusal::UnknownMember)?;
        if reader.instance.is_none() || reader.instance != beat.instance {
            return Err(Refusal::Fenced);
        }
        reader.heard(now, limits);
        (reader.epoch, reader.previous) = (PAUSES, PAUSES);
        Ok(Pulse { epoch: PAUSES, assignment: None })
    }

    /// Brings a member nearer to what it is to read: first it lets go, then it gets more.
    fn reconcile(
        &mut self,
        member: &Arc<str>,
        is_told: bool,
        now: Moment,
    ) -> Result<Pulse, Refusal> {
        let others = self.all.iter().filter(|(id, _)| *id != member);
        let taken: BTreeSet<Spot> =
            others.flat_map(|(_, reader)| reader.owned.iter().cloned()).collect();
        let group_epoch = self.epoch;
        let reader = self.all.get_mut(member).ok_or(Refusal::UnknownMember)?;
        let (before, epoch) = (std::mem::take(&mut reader.told), reader.epoch);
        if reader.owned.is_subset(&reader.target) {
            reader.epoch = group_epoch;
            reader.let_go_by = None;
            let free = reader.target.difference(&taken).cloned().collect();
            reader.told = reader.owned.union(&free).cloned().collect();
            reader.owned.clone_from(&reader.told);
        } else {
            reader.told = reader.owned.intersection(&reader.target).cloned().collect();
            let patience = now.steady_ms.saturating_add(reader.rebalance_ms);
            reader.let_go_by = reader.let_go_by.or(Some(patience));
        }
        let is_news = is_told || reader.told != before;
        let assignment = is_news.then(|| reader.told.iter().cloned().collect());
        // Zero would mean that it is to join.
        reader.epoch = reader.epoch.max(1);
        if reader.epoch != epoch {
            reader.previous = epoch;
        }
        Ok(Pulse { epoch: reader.epoch, assignment })
    }

    /// Who is to read what: as even as can be, and with as little change as can be.
    fn share_out(&mut self) {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        let names: Vec<Arc<str>> = self.counts.keys().cloned().collect();
        let topics = self.counts.iter().map(|(topic, count)| self.asked(topic, *count));
        let mut topics: Vec<Topic> = topics.collect();
        let shares = share(&mut topics, self.all.len());
        let mut targets = vec![BTreeSet::new(); self.all.len()];
        for ((name, topic), shares) in names.iter().zip(&topics).zip(shares) {
            for (reader, share) in topic.readers.iter().zip(shares) {
                let spot = |partition| Spot { topic: Arc::clone(name), partition };
                targets[reader.place].extend(share.into_iter().map(spot));
            }
        }
        for (reader, target) in self.all.values_mut().zip(targets) {
            reader.target = target;
        }
        let read = |topic: &Arc<str>| self.all.values().any(|one| one.topics.contains(topic));
        self.counts.retain(|topic, _| read(topic));
    }

    /// A topic, with who wants to read it and what they read of it.
    fn asked(&self, name: &Arc<str>, count: u32) -> Topic {
        let edge = |partition| Spot { topic: Arc::clone(name), partition };
        let readers = self.all.values().enumerate().filter(|(_, it)| it.topics.contains(name));
        let reader = |(place, reader): (usize, &Reader)| {
            let had = reader.target.range(edge(0)..edge(count));
            Share::new(place, had.map(|spot| spot.partition).collect())
        };
        Topic { count, readers: readers.map(reader).collect() }
    }

    /// Members that were silent, or did not let go, are out. Whether there were any.
    pub(super) fn tick(&mut self, now: Moment) -> bool {
        let before = self.all.len();
        self.all.retain(|_, reader| reader.lost_at() > now.steady_ms);
        let is_smaller = self.all.len() < before;
        if is_smaller {
            self.share_out();
        }
        is_smaller
    }

    /// Bytes that they make the group hold.
    pub(super) fn bytes(&self) -> usize {
        self.all.iter().map(|(id, reader)| reader.bytes(id)).sum()
    }

    /// The same as it is, and as it would be with what a member says now.
    pub(super) fn bytes_with(&self, beat: &Beat) -> (usize, usize) {
        let is_same = |id: &Arc<str>, reader: &Reader| {
            *id == beat.member || (beat.instance.is_some() && reader.instance == beat.instance)
        };
        let own = self.all.iter().filter(|(id, reader)| is_same(id, reader));
        let own: usize = own.map(|(id, reader)| reader.bytes(id)).sum();
        let known = self.all.get(&beat.member).map(|reader| &reader.topics);
        let topics = beat.topics.as_ref().or(known).into_iter().flatten();
        let said = beat.member.len() + beat.client_id.len() + beat.host.len();
        let said = said + topics.map(|topic| topic_bytes(topic)).sum::<usize>();
        let before = self.bytes();
        (before, before - own + said)
    }

    /// When one of them is out next.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.all.values().map(Reader::lost_at).min()
    }
}

/// What a topic's name takes, in a set of names.
fn topic_bytes(topic: &str) -> usize {
    topic.len() + 64
}

impl Reader {
    fn heard(&mut self, now: Moment, limits: &Limits) {
        self.silent_until = now.steady_ms.saturating_add(u64::from(limits.reader_session_ms));
    }

    fn bytes(&self, id: &str) -> usize {
        let topics: usize = self.topics.iter().map(|topic| topic_bytes(topic)).sum();
        id.len() + self.client_id.len() + self.host.len() + topics
    }

    fn lost_at(&self) -> u64 {
        self.let_go_by.unwrap_or(u64::MAX).min(self.silent_until)
    }
}
