//! Which session has a filter for itself (`$exclusive/…`). Asked at SUBSCRIBE and at the end of a
//! session. The rows of subscriptions say it durably; this says it quickly.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use tidewire_store::rows::subscription;
use tidewire_store::{ReadError, Store, Table};

/// Filters and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Exclusives {
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    owners: AHashMap<Box<str>, Arc<str>>,
    /// The same the other way round.
    filters: AHashMap<Arc<str>, Vec<Box<str>>>,
}

impl Exclusives {
    /// What the store's sessions have, also those that are away.
    pub(crate) fn load(&self, store: &Store) -> Result<(), ReadError> {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        store.scan(Table::Subscriptions, from, to, &mut |key, row| {
            if subscription::decode(row).is_ok_and(|found| found.is_exclusive)
                && let Ok(key) = std::str::from_utf8(key)
                && let Some((client_id, filter)) = key.split_once('\0')
            {
                self.claim(filter, &client_id.into());
            }
            ControlFlow::Continue(())
        })
    }

    /// Takes the filter, unless another session has it.
    pub(crate) fn claim(&self, filter: &str, client_id: &Arc<str>) -> bool {
        let claims = &mut *self.claims.lock();
        if let Some(owner) = claims.owners.get(filter) {
            return owner == client_id;
        }
        claims.owners.insert(filter.into(), Arc::clone(client_id));
        claims.filters.entry(Arc::clone(client_id)).or_default().push(filter.into());
        true
    }

    /// Gives the filter up, if it was this session's.
    pub(crate) fn release(&self, filter: &str, client_id: &str) {
        let claims = &mut *self.claims.lock();
        if claims.owners.get(filter).is_none_or(|owner| **owner != *client_id) {
            return;
        }
        claims.owners.remove(filter);
        if let Some(filters) = claims.filters.get_mut(client_id) {
            filters.retain(|other| **other != *filter);
            if filters.is_empty() {
                claims.filters.remove(client_id);
            }
        }
    }

    /// The session is over: all that it had is free.
    pub(crate) fn release_all(&self, client_id: &str) {
        let claims = &mut *self.claims.lock();
        for filter in claims.filters.remove(client_id).unwrap_or_default() {
            claims.owners.remove(&filter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exclusives;

    #[test]
    fn a_filter_has_one_owner_until_that_one_lets_go() {
        let exclusives = Exclusives::default();
        let (a, b) = ("a".into(), "b".into());
        assert!(exclusives.claim("x/#", &a) && exclusives.claim("y", &a));
        assert!(exclusives.claim("x/#", &a), "again");
        assert!(!exclusives.claim("x/#", &b));
        assert!(exclusives.claim("x/+", &b), "another filter, even if it overlaps");
        exclusives.release("x/#", "b");
        assert!(!exclusives.claim("x/#", &b), "it was not b's to release");
        exclusives.release("x/#", "a");
        assert!(exclusives.claim("x/#", &b));
        exclusives.release_all("b");
        assert!(exclusives.claim("x/#", &a) && !exclusives.claim("y", &b));
        exclusives.release_all("a");
        let claims = exclusives.claims.lock();
        assert!(claims.owners.is_empty() && claims.filters.is_empty());
    }
}
