//! Answers of a core to who wants to know something: so much at a time that nobody waits for it.

use std::cell::RefCell;
use std::ops::Bound;
use std::sync::Arc;

use ahash::AHashMap;
use tidewire_proto::id::PartitionId;
use tidewire_proto::mqtt::Version;

use crate::core::asked::{Asked, Client, Counts, Seen, Subscribed};
use crate::core::open::{Conn, Open, Phase};
use crate::core::state::Core;
use crate::link::PUBLISHER;

/// Connections that are looked at for one answer.
const LOOKS_MAX: usize = 512;
/// Connections that are counted for one answer.
const COUNTED_MAX: u32 = 2_048;
/// Positions of those that are behind, one for each partition, at which this ends too.
const POSITIONS_MAX: usize = 20_000;
/// Clients of one answer.
const CLIENTS_MAX: usize = 128;
/// Subscriptions of one answer.
const SUBSCRIPTIONS_MAX: usize = 256;

impl Core {
    /// Who asked may have gone: then nobody hears it.
    pub(crate) fn on_asked(&self, asked: Asked) {
        match asked {
            Asked::Clients(from, part, answer) => drop(answer.send(self.clients(from, &part))),
            Asked::Client(client_id, answer) => {
                let found = self.open_of(&client_id);
                let client = found.map(|(place, conn, open)| self.client(place, conn, open));
                let _ = answer.send(client);
            }
            Asked::Counts(from, answer) => drop(answer.send(self.counts(from))),
            Asked::SystemReaders(answer) => drop(answer.send(self.has_system_readers())),
            Asked::Subscriptions(from, after, answer) => {
                let _ = answer.send(self.subscribed(from, after));
            }
            Asked::SubscriptionsOf(client_id, after, answer) => {
                let found = self.open_of(&client_id);
                let _ = answer.send(found.map(|(place, _, open)| of_session(place, open, &after)));
            }
        }
    }

    fn clients(&self, from: u32, part: &str) -> Seen<Client> {
        let mut items = Vec::new();
        for looked in 0..LOOKS_MAX {
            let place = from as usize + looked;
            if place >= self.conns.capacity() {
                return Seen { items, next: None };
            }
            let Ok(place) = u32::try_from(place) else { break };
            if items.len() >= CLIENTS_MAX {
                return Seen { items, next: Some((place, Box::default())) };
            }
            if let Some((conn, open)) = self.open_at(place)
                && open.client_id.contains(part)
            {
                items.push(self.client(place, conn, open));
            }
        }
        let next = u32::try_from(LOOKS_MAX).ok().and_then(|looked| from.checked_add(looked));
        Seen { items, next: next.map(|place| (place, Box::default())) }
    }

    fn counts(&self, from: u32) -> Counts {
        let mut counts = Counts::default();
        // Many connections are behind in the same partitions.
        let known = RefCell::new(AHashMap::new());
        let bounds = |id| *known.borrow_mut().entry(id).or_insert_with(|| self.bounds_of(id));
        let mut positions_looked_at = 0;
        for looked in 0..COUNTED_MAX {
            let place = from.saturating_add(looked);
            if place as usize >= self.conns.capacity() {
                return counts;
            }
            if positions_looked_at >= POSITIONS_MAX {
                counts.next = Some(place);
                return counts;
            }
            let Some((_, open)) = self.open_at(place) else { continue };
            let version = match open.version {
                Version::V31 => 0,
                Version::V311 => 1,
                Version::V5 => 2,
            };
            if let Some(clients) = counts.clients.get_mut(version) {
                *clients += 1;
            }
            let shared = open.shares.len();
            counts.shared += shared as u64;
            counts.plain += open.subscriptions.len().saturating_sub(shared) as u64;
            if !open.cursor.is_live() {
                let positions = open.cursor.positions(&self.positions).iter();
                let positions = positions.inspect(|_| positions_looked_at += 1);
                counts.behind.add(&bounds, positions, std::iter::empty());
            }
            counts.in_flight += open.window.in_flight() as u64;
        }
        counts.next = Some(from.saturating_add(COUNTED_MAX));
        counts
    }

    fn bounds_of(&self, partition: PartitionId) -> Option<(u64, u64)> {
        self.shared.store.bounds(partition)
    }

    fn subscribed(&self, from: u32, after: Box<str>) -> Seen<Subscribed> {
        let (mut items, mut after) = (Vec::new(), after);
        for looked in 0..LOOKS_MAX {
            let place = from as usize + looked;
            if place >= self.conns.capacity() {
                return Seen { items, next: None };
            }
            let Ok(place) = u32::try_from(place) else { break };
            if items.len() >= SUBSCRIPTIONS_MAX {
                return Seen { items, next: Some((place, Box::default())) };
            }
            let behind = std::mem::take(&mut after);
            let Some((_, open)) = self.open_at(place) else { continue };
            let seen = of_session(place, open, &behind);
            items.extend(seen.items);
            if seen.next.is_some() {
                return Seen { items, next: seen.next };
            }
        }
        let next = u32::try_from(LOOKS_MAX).ok().and_then(|looked| from.checked_add(looked));
        Seen { items, next: next.map(|place| (place, Box::default())) }
    }

    fn open_at(&self, place: u32) -> Option<(&Conn, &Open)> {
        let conn = self.conns.get(place as usize)?;
        match &conn.phase {
            Phase::Open(open) if &*open.client_id != PUBLISHER => Some((conn, open)),
            _ => None,
        }
    }

    fn open_of(&self, client_id: &str) -> Option<(u32, &Conn, &Open)> {
        let owner = self.shared.registry.owner(client_id)?;
        let (conn, open) = self.open_at(owner.key).filter(|_| owner.core == self.index)?;
        (conn.serial == owner.serial).then_some((owner.key, conn, open))
    }

    fn client(&self, place: u32, conn: &Conn, open: &Open) -> Client {
        let is_live = open.cursor.is_live();
        Client {
            place,
            client_id: Arc::clone(&open.client_id),
            user: open.user(),
            method: open.identity.as_ref().map(|identity| identity.method),
            version: open.version,
            peer: conn.peer,
            listener: conn.door.listener,
            since_ms: open.since_ms,
            silent_ms: self.uptime_ms.saturating_sub(conn.heard_ms),
            keep_alive_s: open.terms.keep_alive_s,
            expiry_s: open.terms.expiry_s,
            receive_max: open.terms.receive_max,
            in_flight: open.window.in_flight(),
            unsent_bytes: conn.out.len(),
            subscriptions: open.subscriptions.len(),
            has_will: open.will.is_some(),
            positions: (!is_live).then(|| open.cursor.positions(&self.positions).clone()),
        }
    }
}

fn of_session(place: u32, open: &Open, after: &str) -> Seen<Subscribed> {
    let from = match after.is_empty() {
        true => Bound::Unbounded,
        false => Bound::Excluded(after),
    };
    let mut items = Vec::new();
    for (filter, subscription) in open.subscriptions.range(from) {
        if items.len() >= SUBSCRIPTIONS_MAX {
            let last = items.last().map(|one: &Subscribed| one.filter.clone());
            return Seen { items, next: Some((place, last.unwrap_or_default())) };
        }
        items.push(Subscribed {
            place,
            client_id: Arc::clone(&open.client_id),
            filter: filter.into(),
            subscription: subscription.clone(),
        });
    }
    Seen { items, next: None }
}
