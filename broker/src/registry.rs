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

/// The client id belongs to another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign;

/// Owners by client id.
#[derive(Default)]
pub(crate) struct Registry {
    owners: Mutex<AHashMap<Arc<str>, Entry>>,
}

struct Entry {
    owner: Owner,
    /// The user that it has shown to be, if any.
    user: Option<Box<str>>,
}

impl Registry {
    /// Makes `owner` the owner. The answer is whom it must wait for to let go.
    ///
    /// # Errors
    /// When another user has the client id: then nothing changes.
    pub(crate) fn claim(
        &self,
        client_id: &Arc<str>,
        owner: Owner,
        user: Option<Box<str>>,
    ) -> Result<Option<Owner>, Foreign> {
        let mut owners = self.owners.lock();
        let former = owners.get(client_id);
        if former.is_some_and(|former| former.user.is_some() && former.user != user) {
            return Err(Foreign);
        }
        let former = owners.insert(Arc::clone(client_id), Entry { owner, user });
        Ok(former.map(|former| former.owner))
    }

    /// Makes `owner` the owner if there is none.
    pub(crate) fn claim_if_free(&self, client_id: &Arc<str>, owner: Owner) -> bool {
        let mut owners = self.owners.lock();
        let is_free = !owners.contains_key(client_id);
        if is_free {
            owners.insert(Arc::clone(client_id), Entry { owner, user: None });
        }
        is_free
    }

    /// Whether it has an owner, and one that is so.
    pub(crate) fn is_owned_by(&self, client_id: &str, is_so: impl Fn(&Owner) -> bool) -> bool {
        self.owners.lock().get(client_id).is_some_and(|entry| is_so(&entry.owner))
    }

    /// Its owner, if it has one.
    pub(crate) fn owner(&self, client_id: &str) -> Option<Owner> {
        self.owners.lock().get(client_id).map(|entry| entry.owner)
    }

    /// Lets go, unless somebody else has claimed the client id since.
    pub(crate) fn release(&self, client_id: &str, owner: Owner) {
        let mut owners = self.owners.lock();
        if owners.get(client_id).is_some_and(|entry| entry.owner == owner) {
            owners.remove(client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Foreign, Owner, Registry};

    #[test]
    fn the_last_claim_owns_and_only_the_owner_can_let_go() {
        let registry = Registry::default();
        let claim =
            |owner, user: Option<&str>| registry.claim(&"c".into(), owner, user.map(Into::into));
        let (first, second) =
            (Owner { core: 0, key: 0, serial: 1 }, Owner { core: 1, key: 0, serial: 2 });
        assert_eq!(claim(first, None), Ok(None));
        assert_eq!(claim(second, None), Ok(Some(first)));
        registry.release("c", first);
        assert_eq!(claim(first, None), Ok(Some(second)));
        registry.release("c", first);
        assert_eq!(claim(second, None), Ok(None));
        assert!(!registry.claim_if_free(&"c".into(), first));
        registry.release("c", second);
        assert!(registry.claim_if_free(&"c".into(), first));
    }

    #[test]
    fn what_one_user_has_no_other_can_claim() {
        let registry = Registry::default();
        let [first, second] = [1, 2].map(|serial| Owner { core: 0, key: 0, serial });
        let claim =
            |owner, user: Option<&str>| registry.claim(&"c".into(), owner, user.map(Into::into));
        assert_eq!(claim(first, None), Ok(None));
        assert_eq!(claim(second, Some("ann")), Ok(Some(first)), "nobody had it");
        assert_eq!(claim(first, Some("bob")), Err(Foreign));
        assert_eq!(claim(first, None), Err(Foreign));
        assert_eq!(claim(first, Some("ann")), Ok(Some(second)));
    }
}
