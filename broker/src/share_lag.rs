//! How far share groups are behind, as their rows say. Never changes a group.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, ControlFlow};

use tidewire_bridge::{Forecasts, Lag, came_ms};
use tidewire_proto::id::{GroupId, PartitionId};
use tidewire_store::rows::share::{GroupRow, Key};
use tidewire_store::{ReadError, Store, Stream, Table};

/// Rows of groups that are held at a time where all are looked at.
const PAGE: usize = 64;

/// How far a share group is behind, as of its last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareGroupLag {
    /// Its whole filter, `$share/name/` included.
    pub filter: String,
    /// All streams together; records that its filter does not match count until it has passed them.
    pub lag: Lag,
    /// The same by stream, those with nothing to read left out.
    pub streams: Vec<(String, Lag)>,
    /// Messages that members have and did not finish.
    pub handed: u64,
    /// Messages that came back and wait to be handed out again.
    pub waiting: u64,
    /// How often the message that was handed out most often was.
    pub attempts_max: u32,
    /// Client ids of members whose sessions outlive their connections.
    pub members: Vec<String>,
}

/// The first `max` groups behind this filter, in the order of their filters. Reads the log, and may
/// wait for the disk.
pub(crate) fn share_groups(
    (store, forecasts): (&Store, &Forecasts),
    (after, max): (Option<&str>, usize),
    now_ms: i64,
) -> Result<Vec<ShareGroupLag>, ReadError> {
    let mut by_filter = BTreeMap::new();
    let mut members: HashMap<GroupId, Vec<String>> = HashMap::new();
    let all = (Bound::Unbounded, Bound::Unbounded);
    store.scan(Table::Shares, all.0, all.1, &mut |key, value| {
        match (Key::decode(key), GroupRow::decode(value)) {
            (Ok(Key::Group(id)), Ok(row)) if after.is_none_or(|after| *row.filter > *after) => {
                by_filter.insert(row.filter.clone(), (id, row));
                if by_filter.len() > max {
                    by_filter.pop_last();
                }
            }
            (Ok(Key::Member(id, client_id)), _) => {
                members.entry(id).or_default().push(client_id.to_owned());
            }
            // What cannot be read is not shown; `tidewire log verify` is there to name it.
            _ => (),
        }
        ControlFlow::Continue(())
    })?;
    let streams = store.streams();
    let stand = |(id, row): (GroupId, GroupRow)| {
        let members = members.remove(&id).unwrap_or_default();
        stand((store, &streams, forecasts), row, members, now_ms)
    };
    Ok(by_filter.into_values().map(stand).collect())
}

fn stand(
    (store, streams, forecasts): (&Store, &[Stream], &Forecasts),
    row: GroupRow,
    members: Vec<String>,
    now_ms: i64,
) -> ShareGroupLag {
    let of_stream = |stream: &Stream| {
        let partitions = stream.partitions.iter();
        let lags = partitions.map(|id| behind((store, forecasts), &row, *id, now_ms));
        let lag = lags.fold(Lag::default(), Lag::and);
        (lag.messages > 0).then(|| (stream.name.clone(), lag))
    };
    let streams: Vec<_> = streams.iter().filter_map(of_stream).collect();
    let handed = row.unfinished.iter().filter(|one| one.client_id.is_some()).count();
    ShareGroupLag {
        lag: streams.iter().map(|(_, lag)| *lag).fold(Lag::default(), Lag::and),
        streams,
        handed: handed as u64,
        waiting: (row.unfinished.len() - handed) as u64,
        attempts_max: row.unfinished.iter().map(|one| one.attempts).max().unwrap_or(0),
        filter: row.filter,
        members,
    }
}

/// Of one partition: what it has not looked at, and what is handed out and not over.
fn behind(
    (store, forecasts): (&Store, &Forecasts),
    row: &GroupRow,
    id: PartitionId,
    now_ms: i64,
) -> Lag {
    let Some((from, end)) = store.bounds(id) else { return Lag::default() };
    let position = row.positions.get(id).max(from);
    let own = row.unfinished.iter().map(|one| one.place);
    let unfinished = || own.clone().filter(|place| place.partition == id && place.offset >= from);
    let messages = end.saturating_sub(position) + unfinished().count() as u64;
    let first = unfinished().map(|place| place.offset).chain([position]).min();
    let Some(first) = first.filter(|first| *first < end) else { return Lag::default() };
    let waited_ms = came_ms(store, (id, first)).map_or(0, |came_ms| now_ms.saturating_sub(came_ms));
    Lag {
        messages,
        seconds: u64::try_from(waited_ms / 1000).unwrap_or(0),
        loses_in_s: forecasts.of_places(&[(id, first)], now_ms),
    }
}

/// Has all share groups shown, in the order of their ids, as long as `show` has room for them; says
/// how many are left then. Few rows are held at a time: clients choose how long their filters are.
pub(crate) fn show_share_groups(
    (store, forecasts): (&Store, &Forecasts),
    now_ms: i64,
    show: &mut dyn FnMut(&ShareGroupLag) -> ControlFlow<()>,
) -> Result<u64, ReadError> {
    let streams = store.streams();
    let (mut from, mut left, mut is_full) = (Key::Group(GroupId(0)).encode(), 0, false);
    loop {
        let mut page: Vec<GroupRow> = Vec::new();
        let mut next = None;
        store.scan(
            Table::Shares,
            Bound::Included(&from),
            Bound::Unbounded,
            &mut |key, value| {
                match (Key::decode(key), GroupRow::decode(value)) {
                    // Members stand behind all groups.
                    (Ok(Key::Member(..)), _) => return ControlFlow::Break(()),
                    (Ok(Key::Group(_)), Ok(_)) if is_full => left += 1,
                    (Ok(Key::Group(_)), Ok(_)) if page.len() >= PAGE => {
                        next = Some(key.into());
                        return ControlFlow::Break(());
                    }
                    (Ok(Key::Group(_)), Ok(row)) => page.push(row),
                    _ => (),
                }
                ControlFlow::Continue(())
            },
        )?;
        let rows = page.len();
        for (at, row) in page.into_iter().enumerate() {
            let group = stand((store, &streams, forecasts), row, Vec::new(), now_ms);
            if show(&group).is_break() {
                left += (rows - at) as u64;
                is_full = true;
                break;
            }
        }
        match next {
            Some(key) => from = key,
            None => return Ok(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use tidewire_bridge::Forecasts;
    use tidewire_proto::id::GroupId;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_proto::session::cursor::Positions;
    use tidewire_proto::session::window::Place;
    use tidewire_store::rows::share::{GroupRow, Key, MEMBER_ROW, Unfinished};
    use tidewire_store::{Append, Commit, RealDisk, Store, StoreOptions, Table, TableChange};

    use super::{PAGE, ShareGroupLag, share_groups, show_share_groups};

    /// Of a log with ten records, which came in the second that is their offset.
    fn groups(after: Option<&str>, max: usize, now_ms: i64) -> Vec<ShareGroupLag> {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { threads: false, ..StoreOptions::default() };
        let (store, _) = Store::open(Arc::new(RealDisk::new(folder.path())), options).expect("ok");
        let id = store.streams()[0].partitions[0];
        let mut batch = BatchBuilder::new();
        for n in 0..10 {
            batch.push(n * 1000, Some(b"a"), Some(b"x"), &[]);
        }
        let row = |filter: &str, next, unfinished: &[(u64, Option<&str>)]| {
            let mut positions = Positions::default();
            positions.advance(id, next);
            let one = |(offset, client_id): &(u64, Option<&str>)| Unfinished {
                place: Place { partition: id, offset: *offset },
                client_id: client_id.map(str::to_owned),
                qos: Qos::AtLeastOnce,
                attempts: 2,
                doomed: None,
            };
            let unfinished = unfinished.iter().map(one).collect();
            GroupRow { filter: filter.into(), positions, unfinished }.encode()
        };
        let change = |key: Key<'_>, row| TableChange::new(Table::Shares, key.encode(), Some(row));
        let changes = vec![
            change(Key::Group(GroupId(3)), row("$share/b/#", 10, &[])),
            change(Key::Group(GroupId(2)), row("$share/a/#", 7, &[(4, Some("c")), (6, None)])),
            change(Key::Member(GroupId(2), "c"), MEMBER_ROW.into()),
        ];
        let appends = vec![Append::new(id, batch.finish())];
        store.commit(Commit { appends, changes }).expect("committed");
        share_groups((&store, &Forecasts::default()), (after, max), now_ms).expect("readable")
    }

    #[test]
    fn a_share_group_is_behind_by_what_it_has_not_looked_at_and_what_is_not_over() {
        let groups = groups(None, 9, 60_000);
        let [late, read] = &groups[..] else { panic!("two groups: {groups:?}") };
        assert_eq!((&*late.filter, late.lag.messages), ("$share/a/#", 5));
        assert_eq!(late.lag.seconds, 56, "the oldest that is not over came in second 4");
        assert_eq!((late.handed, late.waiting, late.attempts_max), (1, 1, 2));
        assert_eq!(late.members, ["c"]);
        assert_eq!(late.streams, [("mqtt".to_owned(), late.lag)]);
        assert_eq!((read.lag.messages, read.lag.seconds, read.streams.len()), (0, 0, 0));
    }

    #[test]
    fn share_groups_come_in_pages() {
        let page = |after, max| {
            let groups = groups(after, max, 0);
            groups.into_iter().map(|group| group.filter).collect::<Vec<_>>()
        };
        assert_eq!(page(None, 1), ["$share/a/#"]);
        assert_eq!(page(Some("$share/a/#"), 1), ["$share/b/#"]);
        assert!(page(Some("$share/b/#"), 1).is_empty());
    }

    #[test]
    fn all_share_groups_are_shown_as_long_as_there_is_room_and_the_rest_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { threads: false, ..StoreOptions::default() };
        let (store, _) = Store::open(Arc::new(RealDisk::new(folder.path())), options).expect("ok");
        let count = u32::try_from(PAGE).expect("small") * 2 + 3;
        let row = |n: u32| GroupRow { filter: n.to_string(), ..GroupRow::default() }.encode();
        let group = |n| Key::Group(GroupId(n)).encode();
        let member = |n| Key::Member(GroupId(n), "c").encode();
        let groups = (0..count).map(|n| TableChange::new(Table::Shares, group(n), Some(row(n))));
        let members =
            (0..count).map(|n| TableChange::new(Table::Shares, member(n), Some(MEMBER_ROW.into())));
        let changes = groups.chain(members).collect();
        store.commit(Commit { appends: Vec::new(), changes }).expect("committed");
        for room in [0, 1, PAGE - 1, PAGE, PAGE + 1, count as usize, usize::MAX] {
            let mut seen = Vec::new();
            let show = &mut |group: &ShareGroupLag| {
                if seen.len() >= room {
                    return ControlFlow::Break(());
                }
                seen.push(group.filter.clone());
                ControlFlow::Continue(())
            };
            let left = show_share_groups((&store, &Forecasts::default()), 0, show);
            let expected: Vec<_> = (0..count).take(room).map(|n| n.to_string()).collect();
            assert_eq!(seen, expected, "room for {room}");
            assert_eq!(left.expect("readable"), (count as usize - seen.len()) as u64);
        }
    }
}
