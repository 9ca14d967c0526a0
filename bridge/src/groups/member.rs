//! One member of a group. Never decides for the group.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tidewire_store::rows::group::MemberRow;

use crate::groups::request::{Join, Protocol, Ticket};

/// Who is in the group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: Arc<str>,
    pub(super) instance: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) host: Arc<str>,
    session_ms: u32,
    rebalance_ms: u32,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// It is lost if it was not heard of until then, unless the group is to answer it.
    silent_until: u64,
    /// Waits for the members to agree.
    pub(super) join: Option<Ticket>,
    /// Waits for what it reads.
    pub(super) sync: Option<Ticket>,
}

impl Member {
    /// As it describes itself.
    pub(super) fn new(id: Arc<str>, join: &Join, steady_ms: u64) -> Self {
        let mut member = Self {
            id,
            instance: join.instance.clone(),
            client_id: Arc::clone(&join.client_id),
            host: Arc::clone(&join.host),
            session_ms: 0,
            rebalance_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            silent_until: 0,
            join: None,
            sync: None,
        };
        member.describe(join, steady_ms);
        member
    }

    /// What it says about itself now.
    pub(super) fn describe(&mut self, join: &Join, steady_ms: u64) {
        self.client_id = Arc::clone(&join.client_id);
        self.host = Arc::clone(&join.host);
        self.session_ms = u32::try_from(join.session_ms).unwrap_or(0);
        let rebalance_ms = join.rebalance_ms.and_then(|it| u32::try_from(it).ok());
        self.rebalance_ms = rebalance_ms.unwrap_or(self.session_ms);
        self.protocols.clone_from(&join.protocols);
        self.heard(steady_ms);
    }

    /// As it was stored.
    pub(super) fn from_row(row: MemberRow, steady_ms: u64) -> Self {
        let protocols = row
            .protocols
            .into_iter()
            .map(|(name, metadata)| Protocol { name: name.into(), metadata: metadata.into() });
        let mut member = Self {
            id: row.id.into(),
            instance: row.instance.map(Arc::from),
            client_id: row.client_id.into(),
            host: row.host.into(),
            session_ms: row.session_ms,
            rebalance_ms: row.rebalance_ms,
            protocols: protocols.collect(),
            assignment: row.assignment.into(),
            silent_until: 0,
            join: None,
            sync: None,
        };
        member.heard(steady_ms);
        member
    }

    /// Its part of the group's row, with another assignment.
    pub(super) fn row(&self, assignment: &Bytes) -> MemberRow {
        let protocols = self.protocols.iter();
        MemberRow {
            id: (*self.id).to_owned(),
            instance: self.instance.as_deref().map(str::to_owned),
            client_id: (*self.client_id).to_owned(),
            host: (*self.host).to_owned(),
            session_ms: self.session_ms,
            rebalance_ms: self.rebalance_ms,
            protocols: protocols
                .map(|one| ((*one.name).to_owned(), one.metadata.to_vec()))
                .collect(),
            assignment: assignment.to_vec(),
        }
    }

    /// It lives.
    pub(super) fn heard(&mut self, steady_ms: u64) {
        self.silent_until = steady_ms.saturating_add(u64::from(self.session_ms));
    }

    /// When it is lost; never while the group owes it an answer.
    pub(super) fn lost_at(&self) -> Option<u64> {
        let owed = self.join.is_some() || self.sync.is_some();
        (!owed).then_some(self.silent_until)
    }

    /// How long the others wait for it.
    pub(super) fn rebalance_ms(&self) -> u64 {
        u64::from(self.rebalance_ms)
    }

    /// The ways to share out that it knows.
    pub(super) fn known(&self) -> HashSet<&str> {
        self.protocols.iter().map(|one| &*one.name).collect()
    }

    /// What it says for a protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let known = self.protocols.iter().find(|known| *known.name == *protocol);
        known.map(|known| known.metadata.clone()).unwrap_or_default()
    }

    /// Bytes that it makes the group hold.
    pub(super) fn bytes(&self) -> usize {
        let names = self.id.len() + self.client_id.len() + self.host.len();
        names + self.instance.as_ref().map_or(0, |it| it.len()) + bytes_of(&self.protocols)
    }
}

/// Bytes of what is said for protocols.
pub(super) fn bytes_of(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|one| one.name.len() + one.metadata.len()).sum()
}

/// The ways to share out that all of them know; `None` of nobody.
pub(super) fn common<'a>(
    mut members: impl Iterator<Item = &'a Member>,
) -> Option<HashSet<&'a str>> {
    let mut common = members.next()?.known();
    for member in members {
        let known = member.known();
        common.retain(|name| known.contains(name));
    }
    Some(common)
}
