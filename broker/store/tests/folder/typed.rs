//! A row of every table, as the floors above write them.

use tidewire_proto::id::{GroupId, PacketId, PartitionId};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::{Batch, BatchBuilder};
use tidewire_proto::routing::grant::Grant;
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::session::subscription::Subscription;
use tidewire_proto::session::window::{Place, Window};
use tidewire_store::rows::ban::BanRow;
use tidewire_store::rows::bridge::{BridgeRow, Mode};
use tidewire_store::rows::delayed::{DelayedKey, DelayedRow};
use tidewire_store::rows::group::{GroupRow, MemberRow};
use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::rows::producer::{ProducerKey, ProducerRow};
use tidewire_store::rows::session::SessionRow;
use tidewire_store::rows::transaction::{Stage, TransactionRow};
use tidewire_store::rows::will::{WillRow, WillState};
use tidewire_store::rows::{bridge, cursor, receipt, retained, share, subscription};
use tidewire_store::{Commit, Store, Table, TableChange};

/// A row, and how this build reads it.
struct Typed {
    table: Table,
    key: Box<[u8]>,
    value: Box<[u8]>,
    read: fn(&[u8]) -> String,
}

const CLIENT: &str = "pump";
const PARTITION: PartitionId = PartitionId(1);

fn typed(table: Table, key: &[u8], value: Box<[u8]>, read: fn(&[u8]) -> String) -> Typed {
    Typed { table, key: key.into(), value, read }
}

fn message() -> Batch {
    let mut builder = BatchBuilder::new();
    builder.push(1_700_000_000_000, Some(b"plant/1"), Some(b"said later"), &[]);
    builder.finish()
}

fn text(row: &[u8]) -> String {
    String::from_utf8(row.to_vec()).expect("text")
}

fn rows() -> Vec<Typed> {
    let mut rows = of_sessions();
    rows.extend(of_kafka());
    // Tables whose rows are text, or that nobody writes yet.
    for table in [Table::Meta, Table::Outbound, Table::Users] {
        let value = format!("a row of {}", table.name());
        rows.push(typed(table, b"some", value.as_bytes().into(), text));
    }
    rows
}

fn of_sessions() -> Vec<Typed> {
    let session = SessionRow { expiry_s: 600, ended_ms: Some(5_000), user: Some("ada".into()) };
    let mut positions = Positions::default();
    positions.advance(PARTITION, 12);
    let grant = Grant { qos: Qos::ExactlyOnce, id: 7, no_local: true, retain_as_published: false };
    let since = Some(positions.clone());
    let subscribed =
        Subscription { grant, since, is_replay: true, is_rewritten: false, is_exclusive: false };
    let state = WillState::Waiting { due_ms: 9_000, by_broker: true };
    let user = Some("ada".into());
    let will = WillRow { state, delay_s: 30, user, left_by: None, message: message() };
    let due = DelayedKey { due_ms: 7_000, started_ms: 2_000, serial: 3 };
    let delayed = DelayedRow { client_id: CLIENT.into(), message: message() };
    let ban = BanRow { since_ms: 1, until_ms: Some(2), reason: "too loud".into() };
    let id = PacketId::new(9).expect("not zero");
    vec![
        typed(Table::Sessions, CLIENT.as_bytes(), session.encode(), |row| {
            format!("{:?}", SessionRow::decode(row).expect("a session"))
        }),
        typed(
            Table::Subscriptions,
            &subscription::key(CLIENT, "plant/+"),
            subscription::encode(&subscribed),
            |row| format!("{:?}", subscription::decode(row).expect("a subscription")),
        ),
        typed(
            Table::Cursors,
            CLIENT.as_bytes(),
            cursor::encode(&Window::new(10), &positions),
            |row| format!("{:?}", cursor::decode(row).expect("a cursor")),
        ),
        typed(Table::Inbound, &receipt::key(CLIENT, id), receipt::ROW.into(), |row| {
            format!("{:?}", row == receipt::ROW)
        }),
        typed(Table::Retained, b"plant/1", retained::encode(PARTITION, 3, &message()), |row| {
            format!("{:?}", retained::decode(row).expect("a retained message"))
        }),
        typed(Table::Wills, CLIENT.as_bytes(), will.encode(), |row| {
            format!("{:?}", WillRow::decode(row).expect("a will"))
        }),
        typed(Table::Wills, &due.encode(), delayed.encode(), |row| {
            format!("{:?}", DelayedRow::decode(row).expect("a delayed message"))
        }),
        typed(
            Table::Shares,
            &share::Key::Group(GroupId(2)).encode(),
            share_group(&positions).encode(),
            |row| format!("{:?}", share::GroupRow::decode(row).expect("a share group")),
        ),
        typed(Table::Bans, b"client:loud", ban.encode(), |row| {
            format!("{:?}", BanRow::decode(row).expect("a ban"))
        }),
    ]
}

fn share_group(positions: &Positions) -> share::GroupRow {
    let unfinished = share::Unfinished {
        place: Place { partition: PARTITION, offset: 4 },
        client_id: Some(CLIENT.into()),
        qos: Qos::AtLeastOnce,
        attempts: 2,
        doomed: None,
    };
    share::GroupRow {
        filter: "$share/crew/plant/#".into(),
        positions: positions.clone(),
        unfinished: vec![unfinished],
    }
}

fn of_kafka() -> Vec<Typed> {
    let member = MemberRow {
        id: "member-1".into(),
        instance: Some("one".into()),
        client_id: "consumer".into(),
        host: "/127.0.0.1".into(),
        session_ms: 10_000,
        rebalance_ms: 60_000,
        protocols: vec![("range".into(), vec![1, 2, 3])],
        assignment: vec![4, 5],
    };
    let group = GroupRow {
        generation: 3,
        since_ms: 8,
        protocol_type: "consumer".into(),
        protocol: "range".into(),
        leader: "member-1".into(),
        members: vec![member],
    };
    let key = OffsetKey { group: "crew", topic: "mqtt", partition: 1 };
    let offset =
        OffsetRow { offset: 17, leader_epoch: -1, committed_ms: 6, metadata: "so far".into() };
    let slot = ProducerKey { producer: 1_000, partition: PARTITION, slot: 2 };
    let producer = ProducerRow { base_offset: 30, at_ms: 11, epoch: 4, first: 5, last: 9 };
    let transaction = TransactionRow {
        producer: 1_000,
        epoch: 4,
        asked_with: 3,
        timeout_ms: 60_000,
        at_ms: 12,
        stage: Stage::Committed,
    };
    let bridge = BridgeRow {
        mode: Mode::Paused,
        positions: vec![(PartitionId(1), 77)],
        extra: b"kept".as_slice().into(),
    };
    vec![
        typed(Table::Groups, b"crew", group.encode(), |row| {
            format!("{:?}", GroupRow::decode(row).expect("a group"))
        }),
        typed(Table::GroupOffsets, &key.encode().expect("short"), offset.encode(), |row| {
            format!("{:?}", OffsetRow::decode(row).expect("an offset"))
        }),
        typed(Table::Producers, &slot.encode(), producer.encode(), |row| {
            format!("{:?}", ProducerRow::decode(row).expect("a producer"))
        }),
        typed(Table::Transactions, b"transfer", transaction.encode(), |row| {
            format!("{:?}", TransactionRow::decode(row).expect("a transaction"))
        }),
        typed(Table::Bridges, &bridge::key("edge"), bridge.encode(), |row| {
            format!("{:?}", BridgeRow::decode(row).expect("a bridge"))
        }),
    ]
}

/// Write them.
pub(crate) fn fill(store: &Store) {
    let change = |row: Typed| TableChange::new(row.table, row.key, Some(row.value));
    let changes = rows().into_iter().map(change).collect();
    store.commit(Commit { appends: Vec::new(), changes }).expect("committed");
}

/// Each is there and says what it said.
#[track_caller]
pub(crate) fn expect_all(store: &Store) {
    expect_up_to(store, Table::Bridges);
}

/// The same of the tables up to this one: there were no more when the store was written.
#[track_caller]
pub(crate) fn expect_up_to(store: &Store, last: Table) {
    for Typed { table, key, value, read } in rows().into_iter().filter(|row| row.table <= last) {
        let found = store.get(table, &key).expect("readable");
        let found = found.unwrap_or_else(|| panic!("{}: {key:?} is not there", table.name()));
        assert_eq!(read(&found), read(&value), "{}", table.name());
    }
}

#[test]
fn there_is_a_row_of_every_table_but_the_streams_own() {
    let has = |table: Table| rows().iter().any(|row| row.table == table);
    let lacking: Vec<_> = Table::ALL.into_iter().filter(|table| !has(*table)).collect();
    assert_eq!(lacking, [Table::Streams]);
}
