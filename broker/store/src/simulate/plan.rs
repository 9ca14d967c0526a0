//! What a history is made of: options of the store, what befalls each life of it and how it ends.
//! Draws; never does.

use crate::disk::sim::{Fault, Loss, SimRandom};
use crate::options::{StoreOptions, StreamOptions};
use crate::stream::{Durability, StreamConfig};

/// One history.
pub(super) struct Plan {
    pub(super) options: StoreOptions,
    /// By partition number.
    pub(super) durability: Vec<Durability>,
    pub(super) lives: u64,
}

impl Plan {
    /// Small files, so that a short history rolls, checkpoints and uses files again.
    pub(super) fn new(random: &mut SimRandom) -> Self {
        let wal_file_bytes = (16 << 10) + random.below(3) * (8 << 10);
        let options = StoreOptions {
            streams: Vec::new(),
            wal_file_bytes,
            wal_bytes_max: wal_file_bytes * (2 + random.below(4)),
            frame_bytes_max: one_of(random, &[1 << 10, 4 << 10, 64 << 10]),
            recent_bytes_max: one_of(random, &[0, 2 << 10, 1 << 20]),
            segment_bytes_max: one_of(random, &[2 << 10, 8 << 10, 64 << 10]),
            table_cache_bytes: 1 << 20,
            threads: false,
            ..StoreOptions::default()
        };
        let lives = 2 + random.below(4);
        let mut plan = Self { options, durability: Vec::new(), lives };
        let partitions = 1 + random.below(3);
        plan.add_stream("disk", Durability::Disk, partitions);
        if random.percent(60) {
            plan.add_stream("os", Durability::Os, 1 + random.below(2));
        }
        if random.percent(30) {
            plan.add_stream("none", Durability::None, 1);
        }
        plan
    }

    /// The smallest files, two durable partitions and one that is not.
    pub(super) fn smallest() -> Self {
        let options = StoreOptions {
            streams: Vec::new(),
            wal_file_bytes: 16 << 10,
            wal_bytes_max: 64 << 10,
            recent_bytes_max: 1 << 10,
            segment_bytes_max: 4 << 10,
            table_cache_bytes: 1 << 20,
            threads: false,
            ..StoreOptions::default()
        };
        let mut plan = Self { options, durability: Vec::new(), lives: 1 };
        plan.add_stream("disk", Durability::Disk, 2);
        plan.add_stream("os", Durability::Os, 1);
        plan
    }

    /// From the next open on there is one more stream.
    pub(super) fn grow(&mut self, random: &mut SimRandom) {
        let name = format!("late-{}", self.options.streams.len());
        let durability = one_of(random, &[Durability::Disk, Durability::Os, Durability::None]);
        self.add_stream(&name, durability, 1 + random.below(2));
    }

    fn add_stream(&mut self, name: &str, durability: Durability, partitions: u64) {
        let partitions = u32::try_from(partitions).expect("a few");
        let config = StreamConfig { durability, ..StreamConfig::default() };
        self.options.streams.push(StreamOptions { name: name.into(), partitions, config });
        self.durability.extend((0..partitions).map(|_| durability));
    }
}

/// What befalls one life.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// Nothing.
    None,
    /// The power is cut after so many changes from before the open on.
    CutFromOpen(u64),
    /// The power is cut after so many changes from that round on.
    Cut { round: u64, changes: u64 },
    /// One access fails, after so many of its kind from that round on (or from the open on).
    Fault { round: Option<u64>, fault: Fault, after: u64 },
    /// The disk is nearly full from that round on, for so many rounds.
    Full { round: u64, room: u64, rounds: u64 },
    /// The disk is nearly full from before the open on, until the end.
    FullFromOpen { room: u64 },
}

impl Trouble {
    pub(super) fn draw(random: &mut SimRandom, rounds: u64) -> Self {
        let round = random.below(rounds);
        match random.below(100) {
            0..25 => Self::None,
            25..40 => Self::CutFromOpen(wide(random, 21)),
            40..70 => Self::Cut { round, changes: wide(random, 18) },
            70..90 => {
                let fault =
                    one_of(random, &[Fault::Write, Fault::Full, Fault::Sync, Fault::FullSync]);
                let round = Some(round).filter(|_| random.percent(70));
                Self::Fault { round, fault, after: wide(random, 6) }
            }
            _ => Self::Full { round, room: wide(random, 17), rounds: 1 + random.below(4) },
        }
    }
}

impl Trouble {
    /// After a failed sync: what was not synced must not count, whatever is in the way.
    pub(super) fn after_failure(random: &mut SimRandom, wal_file_bytes: u64) -> Option<Self> {
        let full = Self::FullFromOpen { room: wal_file_bytes + random.below(8 << 10) };
        Some(full).filter(|_| random.percent(60))
    }
}

/// How one life ends if no power cut ended it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// The store is stopped, as opposed to killed.
    pub(super) clean: bool,
    /// What is left of what was not synced.
    pub(super) loss: Loss,
}

impl Ending {
    pub(super) fn draw(random: &mut SimRandom) -> Self {
        let loss = one_of(random, &[Loss::Nothing, Loss::Everything, Loss::Some, Loss::Some]);
        Self { clean: random.percent(25), loss }
    }

    /// The store failed: often it is only started again.
    pub(super) fn after_failure(self, random: &mut SimRandom) -> Self {
        let loss = if random.percent(60) { Loss::Nothing } else { self.loss };
        Self { clean: false, loss }
    }
}

pub(super) fn one_of<T: Copy>(random: &mut SimRandom, choices: &[T]) -> T {
    choices[usize::try_from(random.below(choices.len() as u64)).expect("a few")]
}

/// Small numbers as often as large ones, up to so many bits.
fn wide(random: &mut SimRandom, bits: u64) -> u64 {
    let bound = 1 << random.below(bits + 1);
    random.below(bound)
}
