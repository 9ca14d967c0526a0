//! What the index of retained messages counts, and when it refuses.

use std::sync::{Arc, Barrier};

use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::{collection, option};
use tempfile::TempDir;
use tidewire_proto::id::PartitionId;
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{Properties, PropertiesBuilder, PropertyId, PropertyValue};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::BatchBuilder;
use tidewire_store::rows::retained;
use tidewire_store::{Commit, RealDisk, Store, StoreOptions, Table, TableChange};

use super::claims::{LOAN_BYTES, LOAN_CLAIMS};
use super::{Claims, Footprint, GRACE_MS, RetainedIndex, RetainedLimits};
use crate::payer::{Payer, Payers};

const fn footprint(bytes: u32) -> Option<Footprint> {
    Some(Footprint { bytes, payer: Payer::NOBODY, stale_ms: i64::MAX })
}

fn index(messages_max: u64, bytes_max: u64) -> RetainedIndex {
    let (messages_per_payer_max, bytes_per_payer_max) = (0, 0);
    RetainedIndex::new(RetainedLimits {
        messages_max,
        bytes_max,
        messages_per_payer_max,
        bytes_per_payer_max,
    })
}

#[test]
fn one_user_has_a_part_of_what_is_there_for_all_and_pays_for_what_it_makes_larger() {
    let payers = Payers::default();
    let (ann, bob) = (payers.of_user("ann"), payers.of_user("bob"));
    let index = RetainedIndex::new(RetainedLimits {
        messages_max: 100,
        bytes_max: 1000,
        messages_per_payer_max: 2,
        bytes_per_payer_max: 100,
    });
    let claim = |topic: &str, bytes: u32, payer: Payer| {
        let kept = footprint(bytes).map(|kept| kept.paid_by(payer));
        index.claim_one(topic, kept, 0).is_some()
    };
    assert!(claim("a", 10, ann) && claim("b", 10, ann));
    assert!(!claim("c", 1, ann), "as many as one may have");
    assert!(claim("c", 10, bob));
    assert!(claim("c", 10, ann), "no larger: it stays his");
    assert!(!claim("c", 11, ann), "larger: it would be hers");
    assert!(claim("a", 90, ann));
    assert!(!claim("a", 91, ann), "as many bytes");
    assert!(claim("b", 90, bob), "larger: it is his now");
    assert!(claim("d", 10, ann), "she has one less");
    assert!(!claim("e", 1, bob) && claim("e", 1, Payer::NOBODY));
    assert!(index.claim_one("b", None, 0).is_some());
    assert!(claim("f", 1, bob));
    assert_eq!(index.totals(), (5, 90 + 10 + 10 + 1 + 1));
}

#[test]
fn the_count_is_exact_through_overwrites_and_clears() {
    let index = index(10, 1000);
    for (topic, kept, expected) in [
        ("a", footprint(10), (1, 10)),
        ("a", footprint(30), (1, 30)),
        ("b", footprint(5), (2, 35)),
        ("a", None, (1, 5)),
        ("a", None, (1, 5)),
        ("b", None, (0, 0)),
    ] {
        assert!(index.claim_one(topic, kept, 0).is_some());
        assert_eq!(index.totals(), expected, "{topic} {kept:?}");
    }
}

#[test]
fn at_the_limit_only_what_takes_no_more_is_granted() {
    let index = index(2, 100);
    assert!(index.claim_one("a", footprint(60), 0).is_some());
    assert!(index.claim_one("b", footprint(50), 0).is_none(), "bytes");
    assert!(index.claim_one("b", footprint(40), 0).is_some());
    assert!(index.claim_one("c", footprint(0), 0).is_none(), "messages");
    assert!(index.claim_one("a", footprint(61), 0).is_none(), "an overwrite that grows");
    assert_eq!(index.totals(), (2, 100));
    assert!(index.claim_one("a", footprint(60), 0).is_some());
    assert!(index.claim_one("a", footprint(10), 0).is_some());
    assert!(index.claim_one("a", None, 0).is_some());
    assert!(index.claim_one("c", footprint(60), 0).is_some());
}

#[test]
fn a_lowered_limit_still_lets_messages_be_renewed() {
    let index = index(1, 10);
    for topic in ["a", "b"] {
        // As they are found at the start.
        let hash = index.hash(topic);
        index.keep(&mut index.shard(hash).lock(), hash, |_| footprint(20));
    }
    assert!(index.claim_one("a", footprint(20), 0).is_some());
    assert!(index.claim_one("a", footprint(21), 0).is_none());
    assert!(index.claim_one("c", footprint(1), 0).is_none());
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(RealDisk::new(folder.path().join("data")));
    let (store, _) = Store::open(disk, StoreOptions::default()).expect("a store");
    (folder, store)
}

/// The row of a topic, and what it counts for.
fn row(topic: &str, payload: &[u8]) -> (Option<Box<[u8]>>, Option<Footprint>) {
    let message = Published {
        topic,
        payload,
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: Properties::EMPTY,
        origin: None,
    };
    let mut builder = BatchBuilder::new();
    message.push_to(&mut builder, 0);
    let kept = builder.finish();
    let footprint = Footprint::of(topic, &kept);
    (Some(retained::encode(PartitionId(0), 0, &kept)), Some(footprint))
}

fn commit(store: &Store, topic: &str, row: Option<Box<[u8]>>) {
    let change = TableChange::new(Table::Retained, topic.as_bytes().into(), row);
    let commit = Commit { appends: Vec::new(), changes: vec![change] };
    store.commit(commit).expect("the disk takes it");
}

#[test]
fn the_count_is_exact_when_two_cores_set_and_clear_one_topic_at_once() {
    let (_folder, store) = store();
    let (row, kept) = row("a", b"x");
    let bytes = u64::from(kept.expect("a message").bytes);
    for (claims, commits, expected) in [
        ([kept, None], [None, row.clone()], (1, bytes)),
        ([None, kept], [row.clone(), None], (0, 0)),
        ([kept, None], [row.clone(), None], (0, 0)),
    ] {
        let index = index(10, 1000);
        let claimed = [0, 1].map(|core| index.claim_one("a", claims[core], core).expect("room"));
        // Cores commit in no order.
        commits.into_iter().for_each(|row| commit(&store, "a", row));
        claimed.iter().for_each(|claimed| index.settle(claimed, &store, true));
        assert_eq!(index.totals(), expected, "{claims:?}");
        commit(&store, "a", None);
    }
}

#[test]
fn the_count_is_exact_when_a_transaction_commits_what_it_claimed_before_others() {
    let (_folder, store) = store();
    let (row, kept) = row("a", b"x");
    let bytes = u64::from(kept.expect("a message").bytes);
    for (held, plain, of_held, expected) in
        [(kept, None, row.clone(), (1, bytes)), (None, kept, None, (0, 0))]
    {
        let index = index(10, 1000);
        let held = index.claim_ahead("a", held).expect("room");
        let plain = index.claim_one("a", plain, 0).expect("room");
        index.settle(&plain, &store, true);
        commit(&store, "a", of_held);
        index.settle(&held, &store, true);
        assert_eq!(index.totals(), expected);
    }
}

#[test]
fn a_claim_whose_commit_failed_leaves_what_the_store_has() {
    let (_folder, store) = store();
    let (large, of_large) = row("a", &[b'x'; 100]);
    let (_, of_small) = row("a", b"x");
    let bytes = u64::from(of_large.expect("a message").bytes);
    let index = index(10, 1000);
    let first = index.claim_one("a", of_small, 0).expect("room");
    let second = index.claim_one("a", of_large, 1).expect("room");
    commit(&store, "a", large);
    index.settle(&second, &store, true);
    index.settle(&first, &store, false);
    assert_eq!(index.totals(), (1, bytes));
    let third = index.claim_one("a", None, 0).expect("room");
    assert_eq!(index.totals(), (0, 0));
    index.settle(&third, &store, false);
    assert_eq!(index.totals(), (1, bytes));
    assert!(index.shards.iter().all(|shard| shard.lock().awaits_nothing()));
}

/// Keeps a message that was received at 0 and is stale after a second.
fn keep_for_a_second(store: &Store, topic: &str) {
    let mut properties = PropertiesBuilder::new();
    properties.push(PropertyId::MessageExpiry, PropertyValue::FourByte(1)).expect("valid");
    let message = Published {
        topic,
        payload: b"x",
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: properties.as_properties(),
        origin: None,
    };
    let mut builder = BatchBuilder::new();
    message.push_to(&mut builder, 0);
    commit(store, topic, Some(retained::encode(PartitionId(0), 0, &builder.finish())));
}

#[test]
fn what_is_stale_is_deleted_unless_it_was_renewed_meanwhile() {
    let (_folder, store) = store();
    for topic in ["stale", "renewed"] {
        keep_for_a_second(&store, topic);
    }
    let index = index(10, 1000);
    index.load(&store).unwrap();
    assert_eq!(index.totals().0, 2);
    assert_eq!(index.sweep(&store, GRACE_MS).unwrap(), 0, "too early");
    assert!(index.claim_one("renewed", footprint(10), 0).is_some());
    assert_eq!(index.sweep(&store, GRACE_MS + 1001).unwrap(), 1);
    assert_eq!(index.totals(), (1, 10));
    // Commits are in order: behind this one the deletion is done.
    store.commit(Commit::default()).unwrap();
    assert!(store.get(Table::Retained, b"stale").unwrap().is_none());
    assert!(store.get(Table::Retained, b"renewed").unwrap().is_some());
    store.shutdown().unwrap();
}

#[test]
fn cores_that_claim_at_a_time_never_get_more_than_there_is() {
    let index = Arc::new(index(100, u64::MAX));
    let claims = (0..4).map(|core| {
        let index = Arc::clone(&index);
        std::thread::spawn(move || {
            let claim =
                |n: &u32| index.claim_one(&format!("{core}/{n}"), footprint(1), core).is_some();
            (0..100_u32).filter(claim).count()
        })
    });
    let threads: Vec<_> = claims.collect();
    let granted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(granted <= 100 && granted > 90, "{granted}");
    assert_eq!(index.totals().0, granted as u64);
}

/// A topic, what is to be kept of it and of whom; or the commit ends, and is durable.
type Step = Result<(u8, Option<u32>, u8), bool>;

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![1..2_000_u32, 1..1_500_000_u32];
    let claim = (0..60_u8, option::weighted(0.9, bytes), 0..3_u8);
    (claim, proptest::bool::weighted(0.03), any::<bool>())
        .prop_map(|(claim, ends, is_durable)| if ends { Err(is_durable) } else { Ok(claim) })
}

/// From hardly a loan to more than all topics take.
fn limit() -> impl Strategy<Value = u64> {
    16 * LOAN_BYTES..48 * LOAN_BYTES
}

proptest! {
    // Each opens a store.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From where claims are lent to where each is looked at, and back.
    #[test]
    fn claims_that_are_counted_together_are_granted_and_counted_like_one_after_the_other(
        steps in collection::vec(step(), 1..400),
        bytes_max in limit(),
        bytes_per_payer_max in limit(),
    ) {
        let (_folder, store) = store();
        let payers = Payers::default();
        let payers = [Payer::NOBODY, payers.of_user("ann"), payers.of_user("bob")];
        let limits = RetainedLimits {
            messages_max: 48 * LOAN_CLAIMS,
            bytes_max,
            messages_per_payer_max: 32 * LOAN_CLAIMS,
            bytes_per_payer_max,
        };
        let (together, single) = (RetainedIndex::new(limits), RetainedIndex::new(limits));
        let (mut claims, mut singles) = (Claims::default(), Vec::new());
        for step in steps.into_iter().chain([Err(true)]) {
            match step {
                Ok((topic, bytes, payer)) => {
                    let topic = topic.to_string();
                    let kept = bytes.and_then(footprint);
                    let kept = kept.map(|kept| kept.paid_by(payers[usize::from(payer)]));
                    let one = single.claim_one(&topic, kept, 0);
                    prop_assert_eq!(together.claim(&mut claims, &topic, kept, 0), one.is_some());
                    singles.extend(one);
                }
                Err(is_durable) => {
                    together.count(&mut claims, 0);
                    // What failed is looked up in the store, where nothing is.
                    together.settle(&claims.take(), &store, is_durable);
                    singles.drain(..).for_each(|one| single.settle(&one, &store, is_durable));
                    prop_assert_eq!(together.totals(), single.totals());
                    for payer in payers {
                        let parts = [&together, &single].map(|index| index.parts.with_lent(payer));
                        prop_assert_eq!(parts[0], parts[1]);
                    }
                    prop_assert_eq!(together.loans(), 0);
                    assert!(together.shards.iter().all(|shard| shard.lock().awaits_nothing()));
                }
            }
        }
        store.shutdown().expect("a whole store");
    }
}

/// How many claims of topics of their own so many cores were granted, each in commits of 70.
fn granted_to(cores: usize, each: u64, index: &Arc<RetainedIndex>) -> u64 {
    let together = Arc::new(Barrier::new(cores));
    let claims = (0..cores).map(|core| {
        let (index, together) = (Arc::clone(index), Arc::clone(&together));
        std::thread::spawn(move || {
            let (mut claims, mut granted) = (Claims::default(), 0);
            together.wait();
            for n in 0..each {
                let topic = format!("{core}/{n}");
                granted += u64::from(index.claim(&mut claims, &topic, footprint(1), core));
                if n % 70 == 0 {
                    index.count(&mut claims, core);
                }
            }
            index.count(&mut claims, core);
            granted
        })
    });
    let threads: Vec<_> = claims.collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

#[test]
fn cores_that_count_theirs_together_get_as_many_as_there_are_and_no_more() {
    const CORES: u64 = 4;
    let most = 50 * LOAN_CLAIMS;
    let index = Arc::new(index(most, u64::MAX));
    let granted = granted_to(4, most / 2, &index);
    assert_eq!(index.totals(), (granted, granted));
    // One that is refused is counted for a moment.
    assert!(granted <= most && granted + CORES >= most, "{granted} of {most}");
    assert_eq!(index.loans(), 0);
}

#[test]
fn nobody_is_refused_for_what_could_not_be_lent() {
    for _ in 0..20 {
        let index = Arc::new(index(1000, 10_000));
        assert_eq!(granted_to(4, 250, &index), 1000);
    }
    let index = index(16 * LOAN_CLAIMS, u64::MAX);
    assert!(index.lend() && !index.lend() && index.loans() == 1);
    let index = self::index(u64::MAX, 16 * LOAN_BYTES);
    assert!(index.claim_one("a", footprint(8 << 20), 0).is_some());
    assert!(!index.lend() && index.loans() == 0);
}

#[test]
fn what_one_core_was_lent_of_ones_part_another_does_not_get() {
    const PART: u64 = 16 * LOAN_CLAIMS;
    let ann = Payers::default().of_user("ann");
    let index = RetainedIndex::new(RetainedLimits {
        messages_max: 100 * LOAN_CLAIMS,
        bytes_max: u64::MAX,
        messages_per_payer_max: PART,
        bytes_per_payer_max: 0,
    });
    let (mut here, mut there) = (Claims::default(), Claims::default());
    let claim = |claims: &mut Claims, topic: &str, core: usize| {
        index.claim(claims, topic, footprint(1).map(|kept| kept.paid_by(ann)), core)
    };
    assert!((0..LOAN_CLAIMS).all(|n| claim(&mut here, &format!("here {n}"), 0)));
    let granted = (0..PART).filter(|n| claim(&mut there, &format!("there {n}"), 1)).count();
    assert_eq!(granted as u64, PART - LOAN_CLAIMS);
    assert_eq!(index.parts.with_lent(ann).1, 1);
    index.count(&mut here, 0);
    let (has, lent) = index.parts.with_lent(ann);
    assert_eq!((has.count, lent, index.loans()), (PART, 0, 0));
}

#[test]
fn a_commit_of_very_many_payers_leaves_nothing_lent_whatever_the_limits_become() {
    let payers = Payers::default();
    let of = |messages_per_payer_max| RetainedLimits {
        messages_max: 100 * LOAN_CLAIMS,
        bytes_max: u64::MAX,
        messages_per_payer_max,
        bytes_per_payer_max: 0,
    };
    for (first, then) in [(16 * LOAN_CLAIMS, 0), (0, 16 * LOAN_CLAIMS), (0, 1)] {
        let index = RetainedIndex::new(of(first));
        let mut claims = Claims::default();
        let who: Vec<_> = (0..40).map(|n| payers.of_user(&format!("user {n}"))).collect();
        for (n, payer) in who.iter().enumerate() {
            let kept = footprint(1).map(|kept| kept.paid_by(*payer));
            assert!(index.claim(&mut claims, &format!("{n}"), kept, 0), "{n}");
        }
        index.set_limits(of(then));
        index.count(&mut claims, 0);
        assert_eq!((index.totals().0, index.loans()), (40, 0));
        let part = |payer: &Payer| (index.parts.of(*payer).count, index.parts.with_lent(*payer).1);
        assert!(who.iter().all(|payer| part(payer) == (1, 0)));
    }
}

#[test]
fn what_is_lent_to_others_takes_nothing_of_ones_part() {
    const PART: u64 = 16 * LOAN_CLAIMS;
    let payers = Payers::default();
    let ann = payers.of_user("ann");
    let others = ["bob", "cat", "dan"].map(|user| payers.of_user(user));
    let index = RetainedIndex::new(RetainedLimits {
        messages_max: 100 * LOAN_CLAIMS,
        bytes_max: u64::MAX,
        messages_per_payer_max: PART,
        bytes_per_payer_max: 0,
    });
    let claim = |claims: &mut Claims, topic: &str, payer: Payer, core: usize| {
        index.claim(claims, topic, footprint(1).map(|kept| kept.paid_by(payer)), core)
    };
    let (mut of_ann, mut of_others) = (Claims::default(), others.map(|_| Claims::default()));
    for n in 0..PART {
        for (core, claims) in of_others.iter_mut().enumerate() {
            assert!(claim(claims, &format!("{core}"), others[core], core));
        }
        assert!(claim(&mut of_ann, &format!("a{n}"), ann, 3), "{n}");
    }
    assert!(!claim(&mut of_ann, "one more", ann, 3));
    assert_eq!(index.loans(), 3, "the others' commits are not handed over");
    of_others.iter_mut().enumerate().for_each(|(core, claims)| index.count(claims, core));
    assert_eq!((index.totals().0, index.loans()), (PART + 3, 0));
}

#[test]
fn many_claims_of_few_topics_in_one_commit_end_with_the_last() {
    let index = index(16 * LOAN_CLAIMS, 16 * LOAN_BYTES);
    let mut claims = Claims::default();
    for bytes in 1..200 {
        for topic in ["a", "b", "c"] {
            assert!(index.claim(&mut claims, topic, None, 0));
            assert!(index.claim(&mut claims, topic, footprint(bytes), 0));
        }
    }
    assert!(index.claim(&mut claims, "b", None, 0));
    index.count(&mut claims, 0);
    assert_eq!(index.totals(), (2, 2 * 199));
}

#[test]
fn what_was_claimed_before_a_sweep_and_is_counted_after_it_stays() {
    let (_folder, store) = store();
    keep_for_a_second(&store, "stale");
    let index = index(16 * LOAN_CLAIMS, 16 * LOAN_BYTES);
    index.load(&store).unwrap();
    let (renewed, kept) = row("stale", b"x");
    let mut claims = Claims::default();
    assert!(index.claim(&mut claims, "stale", kept, 0));
    assert_eq!(index.loans(), 1);
    assert_eq!(index.sweep(&store, GRACE_MS + 1001).unwrap(), 1);
    index.count(&mut claims, 0);
    commit(&store, "stale", renewed);
    index.settle(&claims.take(), &store, true);
    assert!(store.get(Table::Retained, b"stale").unwrap().is_some());
    assert_eq!(index.totals(), (1, kept.map_or(0, |kept| u64::from(kept.bytes))));
    store.shutdown().unwrap();
}

#[test]
fn a_claim_far_from_the_limits_is_lent_and_counted_when_its_commit_is() {
    let index = index(16 * LOAN_CLAIMS, 16 * LOAN_BYTES);
    let mut claims = Claims::default();
    assert!(index.claim(&mut claims, "a", footprint(10), 0));
    assert_eq!((index.totals(), index.loans()), ((0, 0), 1));
    index.count(&mut claims, 0);
    assert_eq!((index.totals(), index.loans()), ((1, 10), 0));
    // More than is ever lent.
    let large = u32::try_from(LOAN_BYTES + 1).expect("a few bytes");
    assert!(index.claim(&mut claims, "b", footprint(large), 0));
    assert_eq!((index.totals().0, index.loans()), (2, 0));
}
