//! What a subscription grants to its subscriber, and how overlapping grants become one delivery.

use crate::qos::Qos;

/// A connected session on its core. A small number so that routes stay small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u32);

/// What one subscription asks for each message that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The most that this subscription gets.
    pub qos: Qos,
    /// Messages of the subscriber itself are left out.
    pub no_local: bool,
    /// RETAIN goes out as the publisher set it.
    pub retain_as_published: bool,
    /// Subscription Identifier; 0 when there is none.
    pub id: u32,
}

/// One session's part of a route: one copy, whatever the number of matching subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whose it is.
    pub session: SessionKey,
    /// The highest QoS of all grants.
    pub qos: Qos,
    /// Whether any grant wants RETAIN as published.
    pub retain_as_published: bool,
    /// Whether any grant leaves out the subscriber's own messages.
    pub no_local: bool,
    grants: Vec<Grant>,
}

impl Target {
    /// A target with its first grant.
    #[must_use]
    pub fn new(session: SessionKey, grant: Grant) -> Self {
        Self {
            session,
            qos: grant.qos,
            retain_as_published: grant.retain_as_published,
            no_local: grant.no_local,
            grants: vec![grant],
        }
    }

    /// Adds what another subscription of the same session grants.
    pub fn join(&mut self, grant: Grant) {
        self.qos = self.qos.max(grant.qos);
        self.retain_as_published |= grant.retain_as_published;
        self.no_local |= grant.no_local;
        self.grants.push(grant);
    }

    /// The target as its own publisher sees it: without the grants that are No Local.
    #[must_use]
    pub fn without_local(&self) -> Option<Self> {
        let mut grants = self.grants.iter().filter(|grant| !grant.no_local);
        let mut target = Self::new(self.session, *grants.next()?);
        for grant in grants {
            target.join(*grant);
        }
        Some(target)
    }

    /// All Subscription Identifiers that a delivery must name.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.grants.iter().map(|grant| grant.id).filter(|id| *id != 0)
    }

    /// Whether a delivery names any Subscription Identifier.
    #[must_use]
    pub fn has_ids(&self) -> bool {
        self.grants.iter().any(|grant| grant.id != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Grant, SessionKey, Target};
    use crate::qos::Qos;

    fn grant(qos: Qos, no_local: bool, id: u32) -> Grant {
        Grant { qos, no_local, retain_as_published: false, id }
    }

    #[test]
    fn overlapping_grants_give_the_highest_qos_and_every_identifier() {
        let mut target = Target::new(SessionKey(1), grant(Qos::AtMostOnce, false, 4));
        target.join(grant(Qos::ExactlyOnce, false, 0));
        target.join(grant(Qos::AtLeastOnce, false, 9));
        assert_eq!(target.qos, Qos::ExactlyOnce);
        assert_eq!(target.ids().collect::<Vec<_>>(), [4, 9]);
    }

    #[test]
    fn no_local_takes_away_only_its_own_grant() {
        let mut target = Target::new(SessionKey(1), grant(Qos::ExactlyOnce, true, 4));
        assert_eq!(target.without_local(), None);
        target.join(grant(Qos::AtLeastOnce, false, 5));
        let left = target.without_local().expect("one grant is left");
        assert_eq!((left.qos, left.ids().collect::<Vec<_>>()), (Qos::AtLeastOnce, vec![5]));
    }
}
