//! Which session has a filter for itself (`$exclusive/…`). Asked at SUBSCRIBE and at the end of a
//! session. The rows of subscriptions say it durably; this says it quickly, and never calls a
//! filter free while a row may still say otherwise.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use parking_lot::Mutex;
use tidewire_proto::topic::is_shared;
use tidewire_store::rows::subscription;
use tidewire_store::{ReadError, Store, Table};

use crate::subscribed::Subscribed;

/// Filters and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Exclusives {
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    by_filter: AHashMap<Box<str>, Claim>,
    /// The same the other way round.
    filters: AHashMap<Arc<str>, AHashSet<Box<str>>>,
    last_serial: u64,
}

#[derive(Debug)]
struct Claim {
    owner: Arc<str>,
    /// It was given up so; it is free when that is durable.
    given_up: Option<u64>,
}

/// A claim that was given up and is still in the way of others.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) filter: Box<str>,
    /// Whose it was.
    pub(crate) owner: Arc<str>,
    serial: u64,
}

impl Exclusives {
    /// What the store's sessions have, also those that are away. Counted on the way is what they
    /// subscribe to: there may be millions of rows, and they are read once.
    pub(crate) fn load(&self, store: &Store, subscribed: &Subscribed) -> Result<(), ReadError> {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        store.scan(Table::Subscriptions, from, to, &mut |key, row| {
            let key = std::str::from_utf8(key).ok();
            if let Some((client_id, filter)) = key.and_then(|key| key.split_once('\0')) {
                subscribed.found(client_id.as_bytes(), is_shared(filter));
                if subscription::decode(row).is_ok_and(|found| found.is_exclusive) {
                    self.claim(filter, &client_id.into());
                }
            }
            ControlFlow::Continue(())
        })
    }

    /// Takes the filter, unless another session has it.
    pub(crate) fn claim(&self, filter: &str, client_id: &Arc<str>) -> bool {
        let claims = &mut *self.claims.lock();
        if let Some(claim) = claims.by_filter.get_mut(filter) {
            let is_own = claim.owner == *client_id;
            if is_own {
                claim.given_up = None;
            }
            return is_own;
        }
        let claim = Claim { owner: Arc::clone(client_id), given_up: None };
        claims.by_filter.insert(filter.into(), claim);
        claims.filters.entry(Arc::clone(client_id)).or_default().insert(filter.into());
        true
    }

    /// The filters of a session, also those that it has given up and that are not free yet.
    pub(crate) fn of(&self, client_id: &str) -> Vec<Box<str>> {
        let claims = self.claims.lock();
        claims.filters.get(client_id).into_iter().flatten().cloned().collect()
    }

    /// Gives the filter up, if it is this session's. Others get it after `free`, unless the
    /// session has taken it again by then.
    pub(crate) fn give_up(&self, filter: &str, client_id: &str) -> Option<GivenUp> {
        let claims = &mut *self.claims.lock();
        let claim = claims.by_filter.get_mut(filter).filter(|it| *it.owner == *client_id)?;
        claims.last_serial += 1;
        claim.given_up = Some(claims.last_serial);
        let owner = Arc::clone(&claim.owner);
        Some(GivenUp { filter: filter.into(), owner, serial: claims.last_serial })
    }

    /// That it was given up is durable.
    pub(crate) fn free(&self, given_up: &GivenUp) {
        let claims = &mut *self.claims.lock();
        let claim = claims.by_filter.get(&given_up.filter);
        if claim.is_some_and(|claim| claim.given_up == Some(given_up.serial)) {
            claims.remove(&given_up.filter);
        }
    }
}

impl Claims {
    fn remove(&mut self, filter: &str) {
        let Some(Claim { owner, .. }) = self.by_filter.remove(filter) else { return };
        if let Some(filters) = self.filters.get_mut(&owner) {
            filters.remove(filter);
            if filters.is_empty() {
                self.filters.remove(&owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exclusives;

    /// Gives up what is durable at once.
    fn release(exclusives: &Exclusives, filter: &str, client_id: &str) {
        if let Some(given_up) = exclusives.give_up(filter, client_id) {
            exclusives.free(&given_up);
        }
    }

    #[test]
    fn a_filter_has_one_owner_until_that_one_lets_go() {
        let exclusives = Exclusives::default();
        let (a, b) = ("a".into(), "b".into());
        assert!(exclusives.claim("x/#", &a) && exclusives.claim("y", &a));
        assert!(exclusives.claim("x/#", &a), "again");
        assert!(!exclusives.claim("x/#", &b));
        assert!(exclusives.claim("x/+", &b), "another filter, even if it overlaps");
        release(&exclusives, "x/#", "b");
        assert!(!exclusives.claim("x/#", &b), "it was not b's to release");
        release(&exclusives, "x/#", "a");
        assert!(exclusives.claim("x/#", &b));
        let mut all = exclusives.of("b");
        all.sort_unstable();
        assert_eq!(all, ["x/#".into(), "x/+".into()]);
        for filter in exclusives.of("b") {
            release(&exclusives, &filter, "b");
        }
        release(&exclusives, "y", "a");
        let claims = exclusives.claims.lock();
        assert!(claims.by_filter.is_empty() && claims.filters.is_empty());
    }

    #[test]
    fn a_filter_that_is_given_up_is_free_when_that_is_durable_and_not_before() {
        let exclusives = Exclusives::default();
        let (a, b) = ("a".into(), "b".into());
        assert!(exclusives.claim("x", &a));
        let given_up = exclusives.give_up("x", "a").expect("it is a's");
        assert!(!exclusives.claim("x", &b), "a crash now would leave it with a");
        exclusives.free(&given_up);
        assert!(exclusives.claim("x", &b));
    }

    #[test]
    fn a_filter_that_was_taken_again_meanwhile_stays_with_its_session() {
        let exclusives = Exclusives::default();
        let (a, b) = ("a".into(), "b".into());
        assert!(exclusives.claim("x", &a));
        let first = exclusives.give_up("x", "a").expect("it is a's");
        assert!(exclusives.claim("x", &a));
        exclusives.free(&first);
        assert!(!exclusives.claim("x", &b));
        let second = exclusives.give_up("x", "a").expect("it is a's");
        exclusives.free(&first);
        assert!(!exclusives.claim("x", &b), "its second end is not durable");
        exclusives.free(&second);
        assert!(exclusives.claim("x", &b));
    }
}
