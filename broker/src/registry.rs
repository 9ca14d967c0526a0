//! Which connection a client id belongs to. The only map that all cores write to; asked at
//! CONNECT and at the end of a connection, never per message.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;

/// Where a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) core: usize,
    pub(crate) key: u32,
    /// The connection, by its serial number.
    pub(crate) serial: u64,
}

/// Owners by client id.
#[derive(Default)]
pub(crate) struct Registry {
    owners: Mutex<AHashMap<Arc<str>, Owner>>,
}

impl Registry {
    /// Makes `owner` the owner. The answer is whom it must wait for to let go.
    pub(crate) fn claim(&self, client_id: &Arc<str>, owner: Owner) -> Option<Owner> {
        self.owners.lock().insert(Arc::clone(client_id), owner)
    }

    /// Makes `owner` the owner if there is none.
    pub(crate) fn claim_if_free(&self, client_id: &Arc<str>, owner: Owner) -> bool {
        let mut owners = self.owners.lock();
        let is_free = !owners.contains_key(client_id);
        if is_free {
            owners.insert(Arc::clone(client_id), owner);
        }
        is_free
    }

    /// Whether it has an owner, and one that is so.
    pub(crate) fn is_owned_by(&self, client_id: &str, is_so: impl Fn(&Owner) -> bool) -> bool {
        self.owners.lock().get(client_id).is_some_and(is_so)
    }

    /// Lets go, unless somebody else has claimed the client id since.
    pub(crate) fn release(&self, client_id: &str, owner: Owner) {
        let mut owners = self.owners.lock();
        if owners.get(client_id) == Some(&owner) {
            owners.remove(client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, Registry};

    #[test]
    fn the_last_claim_owns_and_only_the_owner_can_let_go() {
        let registry = Registry::default();
        let (first, second) =
            (Owner { core: 0, key: 0, serial: 1 }, Owner { core: 1, key: 0, serial: 2 });
        assert_eq!(registry.claim(&"c".into(), first), None);
        assert_eq!(registry.claim(&"c".into(), second), Some(first));
        registry.release("c", first);
        assert_eq!(registry.claim(&"c".into(), first), Some(second));
        registry.release("c", first);
        assert_eq!(registry.claim(&"c".into(), second), None);
        assert!(!registry.claim_if_free(&"c".into(), first));
        registry.release("c", second);
        assert!(registry.claim_if_free(&"c".into(), first));
    }
}
