//! Claims about what operators see and move.

use std::sync::Arc;

use tempfile::TempDir;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::BatchBuilder;
use tidewire_store::{
    Append, Commit, Forecast, Loss, RealDisk, RetentionReport, Store, StoreOptions, StreamConfig,
    StreamOptions,
};
use tokio::runtime::Runtime;

use super::{ConsumerGroups, Move, Reset, ResetError, ResetTo};
use crate::coordinator::Coordinator;
use crate::forecasts::Forecasts;
use crate::groups::{Beat, Limits};

/// Groups that read a stream of three partitions; there are 10 records in the first, which came in
/// the second that is their offset, and 5 in the next.
struct House {
    groups: ConsumerGroups,
    coordinator: Arc<Coordinator>,
    forecasts: Arc<Forecasts>,
    runtime: Runtime,
    _folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StreamConfig::default();
        let streams = vec![StreamOptions { name: "mqtt".into(), partitions: 3, config }];
        let disk = Arc::new(RealDisk::new(folder.path()));
        let options = StoreOptions { streams, ..StoreOptions::default() };
        let (store, _) = Store::open(disk, options).expect("it opens");
        for (index, count) in [(0, 10), (1, 5)] {
            let mut batch = BatchBuilder::new();
            for n in 0..count {
                batch.push(n * 1000, Some(b"a"), Some(b"x"), &[]);
            }
            let id = store.streams()[0].partitions[index];
            let appends = vec![Append::new(id, batch.finish())];
            store.commit(Commit { appends, changes: Vec::new() }).expect("appended");
        }
        let forecasts = Arc::<Forecasts>::default();
        let (limits, known) = (Limits::default(), Arc::clone(&forecasts));
        let coordinator = Arc::new(Coordinator::open(&store, limits, known).expect("readable"));
        let groups = ConsumerGroups::new(&coordinator, Arc::clone(&forecasts));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        Self { groups, coordinator, forecasts, runtime, _folder: folder }
    }

    fn first(&self) -> PartitionId {
        self.coordinator.store().streams()[0].partitions[0]
    }

    /// The offsets of `team`, by partition.
    fn reset(&self, moves: &[(u32, u64)]) -> Result<(), ResetError> {
        self.reset_of("team", moves)
    }

    fn reset_of(&self, group: &str, moves: &[(u32, u64)]) -> Result<(), ResetError> {
        let to = |(partition, to): &(u32, u64)| Move {
            stream: "mqtt".into(),
            partition: *partition,
            from: None,
            to: *to,
        };
        let moves: Vec<Move> = moves.iter().map(to).collect();
        self.runtime.block_on(async {
            tokio::select! {
                done = self.groups.reset(group, &moves) => done,
                () = self.coordinator.run() => panic!("groups are at an end"),
            }
        })
    }

    /// Somebody reads all of the stream.
    fn join(&self) {
        let beat = Beat {
            member: "m-1".into(),
            instance: None,
            epoch: 0,
            client_id: "reader".into(),
            host: "here".into(),
            rebalance_ms: 60_000,
            topics: Some([Arc::from("mqtt")].into()),
            owned: Some([].into()),
            counts: vec![("mqtt".into(), 3)],
        };
        self.coordinator.beat(&"team".into(), &beat).expect("it is in");
    }

    fn planned(&self, reset: &Reset) -> Result<Vec<(u32, Option<u64>, u64)>, String> {
        let planned = self.groups.plan_reset("team", reset).map_err(|error| error.to_string())?;
        Ok(planned.into_iter().map(|it| (it.partition, it.from, it.to)).collect())
    }
}

fn reset(stream: Option<&str>, partitions: &[u32], to: ResetTo) -> Reset {
    Reset { stream: stream.map(str::to_owned), partitions: partitions.to_vec(), to }
}

#[test]
fn a_groups_lag_is_told_by_partition_and_member_in_records_seconds_and_until_it_is_lost() {
    let house = House::new();
    assert_eq!(house.groups.lag("team"), None);
    house.reset(&[(0, 4), (1, 5)]).expect("stored");
    house.join();
    let far_ms = 1_000_000_000;
    let losses = vec![Loss { partition: house.first(), before: 5, in_ms: far_ms }];
    let report = RetentionReport {
        stream: "mqtt".into(),
        bytes: 0,
        held_bytes: 0,
        refuses: false,
        deleted: Vec::new(),
        forecast: Some(Forecast { readers: Vec::new(), in_ms: far_ms, losses }),
    };
    let now_ms = crate::time::now_ms();
    house.forecasts.set(&[report], now_ms);

    let lag = house.groups.lag("team").expect("it is there");
    let seen = lag.partitions.iter().map(|it| {
        assert_eq!(it.member.as_deref(), Some("m-1"), "it reads all");
        (it.partition, it.committed, it.first, it.end, it.lag.map(|lag| lag.messages))
    });
    let expected =
        [(0, Some(4), 0, 10, Some(6)), (1, Some(5), 0, 5, Some(0)), (2, None, 0, 0, None)];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    let since_s = u64::try_from(now_ms / 1000).expect("after 1970") - 4;
    assert!(lag.lag.seconds >= since_s, "the first unread record came in second 4");
    assert!(lag.lag.loses_in_s.is_some_and(|seconds| seconds > 900_000), "{:?}", lag.lag);
    let [member] = &lag.members[..] else { panic!("one member") };
    assert_eq!((&*member.client_id, member.partitions, member.lag), ("reader", 3, lag.lag));
    assert_eq!((lag.kind, lag.lag.messages), ("consumer", 6));
}

#[test]
fn a_reset_says_first_what_it_moves_and_moves_nothing_out_of_the_log() {
    let house = House::new();
    house.reset(&[(0, 4)]).expect("stored");
    let own = |to| house.planned(&reset(None, &[], to)).expect("planned");
    for (to, expected) in [
        (ResetTo::Earliest, 0),
        (ResetTo::Latest, 10),
        (ResetTo::Time(6_500), 7),
        (ResetTo::Time(99_000), 10),
        (ResetTo::Shift(-3), 1),
        (ResetTo::Shift(-9), 0),
        (ResetTo::Shift(i64::MAX), 10),
        (ResetTo::Offset(6), 6),
        (ResetTo::Offset(60), 10),
    ] {
        assert_eq!(own(to), [(0, Some(4), expected)], "{to:?}");
    }
    let all = house.planned(&reset(Some("mqtt"), &[], ResetTo::Latest));
    assert_eq!(all, Ok(vec![(0, Some(4), 10), (1, None, 5), (2, None, 0)]));
    let some = house.planned(&reset(Some("mqtt"), &[1, 0], ResetTo::Shift(1)));
    assert_eq!(some, Ok(vec![(0, Some(4), 5)]), "what has no offset stays without");
    assert_eq!(own(ResetTo::Shift(0)), [(0, Some(4), 4)], "nothing was moved so far");

    let moves = house.groups.plan_reset("team", &reset(None, &[], ResetTo::Offset(6)));
    let moves = moves.expect("planned");
    house.reset(&[(moves[0].partition, moves[0].to)]).expect("stored");
    assert_eq!(own(ResetTo::Shift(0)), [(0, Some(6), 6)]);
}

#[test]
fn what_cannot_be_reset_is_told_in_words() {
    let house = House::new();
    let to = ResetTo::Earliest;
    let unknown = house.planned(&reset(None, &[], to));
    assert_eq!(unknown, Err("there is no such consumer group".into()));
    house.reset(&[(0, 4)]).expect("stored");
    for (stream, partitions, words) in [
        (Some("none"), &[][..], "there is no stream \"none\""),
        (Some("mqtt"), &[3], "stream \"mqtt\" has no partition 3"),
        (None, &[0], "partitions are named, and no stream"),
    ] {
        let refused = house.planned(&reset(stream, partitions, to));
        assert_eq!(refused, Err(words.into()));
    }
    house.join();
    let members = "the group has members: stop them first";
    assert_eq!(house.planned(&reset(None, &[], to)), Err(members.into()));
    let refused = house.reset(&[(0, 9)]).expect_err("somebody joined meanwhile");
    assert_eq!(refused.to_string(), members);
    let lag = house.groups.lag("team").expect("it is there");
    assert_eq!(lag.partitions[0].committed, Some(4));
}

#[test]
fn a_group_that_is_not_there_yet_is_put_somewhere_in_a_stream_that_is_named() {
    let house = House::new();
    let planned = house.planned(&reset(Some("mqtt"), &[0], ResetTo::Latest));
    assert_eq!(planned, Ok(vec![(0, None, 10)]));
    assert_eq!(house.groups.lag("team"), None, "it was asked only");
}

#[test]
fn a_group_is_forgotten_when_its_members_are_gone() {
    let house = House::new();
    let forget = || {
        let forgotten = house.runtime.block_on(async {
            tokio::select! {
                done = house.groups.forget("team") => done,
                () = house.coordinator.run() => panic!("groups are at an end"),
            }
        });
        forgotten.map_err(|error| error.to_string())
    };
    assert_eq!(forget(), Err("there is no such consumer group".into()));
    house.reset(&[(0, 4)]).expect("stored");
    assert_eq!(forget(), Ok(()));
    assert_eq!(house.groups.lag("team"), None);
    house.join();
    assert_eq!(forget(), Err("the group has members: stop them first".into()));
}

#[test]
fn names_come_in_pages() {
    let house = House::new();
    for name in ["b", "a", "c"] {
        house.reset_of(name, &[(0, 1)]).expect("stored");
    }
    let page = |after, max| house.groups.names(after, max).join(" ");
    assert_eq!([page(None, 2), page(Some("b"), 2), page(Some("c"), 2)], ["a b", "c", ""]);
}
