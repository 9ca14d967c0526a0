//! The share groups of a core as the tables remember them.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use tidewire_proto::id::GroupId;
use tidewire_proto::qos::Qos;
use tidewire_proto::session::cursor::Cursor;
use tidewire_proto::session::window::Exchange;
use tidewire_proto::share::group::Handed;
use tidewire_store::rows::cursor;
use tidewire_store::rows::share::{Doom, GroupRow, Key, Unfinished};
use tidewire_store::{ReadError, Store, Table};

use crate::core::letters::core_of;
use crate::core::state::Core;
use crate::shares::Shares;

/// A group as it was stored.
#[derive(Default)]
struct Stored {
    row: Option<GroupRow>,
    members: Vec<Arc<str>>,
}

/// The numbers of all stored groups.
pub(crate) fn stored_shares(store: &Store) -> Result<Shares, ReadError> {
    let shares = Shares::default();
    for (id, stored) in stored_groups(store)? {
        let Stored { row, members } = stored;
        if let Some(row) = row.filter(|_| !members.is_empty()) {
            shares.restore(row.filter.into(), id, members);
        }
    }
    Ok(shares)
}

fn stored_groups(store: &Store) -> Result<BTreeMap<GroupId, Stored>, ReadError> {
    let mut groups: BTreeMap<GroupId, Stored> = BTreeMap::new();
    store.scan(Table::Shares, Bound::Unbounded, Bound::Unbounded, &mut |key, row| {
        match Key::decode(key) {
            Ok(Key::Group(id)) => match GroupRow::decode(row) {
                Ok(row) => groups.entry(id).or_default().row = Some(row),
                Err(error) => tracing::error!(%error, group = id.0, "a share group is damaged"),
            },
            Ok(Key::Member(id, client_id)) => {
                groups.entry(id).or_default().members.push(client_id.into());
            }
            Err(error) => tracing::error!(%error, "a key of the share groups is damaged"),
        }
        ControlFlow::Continue(())
    })?;
    Ok(groups)
}

impl Core {
    /// Takes up the groups that live on this core.
    pub(crate) fn restore_groups(&mut self) {
        let cores = self.shared.inboxes.len();
        let groups = match stored_groups(&self.shared.store) {
            Ok(groups) => groups,
            Err(error) => return tracing::error!(%error, "share groups cannot be read"),
        };
        for (id, stored) in groups {
            if core_of(id, cores) == self.index {
                self.restore_group(id, stored);
            }
        }
    }

    fn restore_group(&mut self, id: GroupId, stored: Stored) {
        let Stored { row: Some(row), members } = stored else {
            // Its SUBSCRIBE was never answered.
            return self.forget_group(id, &stored.members);
        };
        if members.is_empty() {
            return self.forget_group(id, &members);
        }
        let cursor = Cursor::from_positions(row.positions);
        self.add_group(id, row.filter.into(), cursor, true);
        for one in &row.unfinished {
            if let Some(doom) = one.doomed {
                self.restore_doomed(id, one, doom);
                continue;
            }
            let owner =
                one.client_id.as_deref().filter(|client| self.has_exchange(id, client, one));
            let Some(group) = self.groups.of_id(id) else { return };
            match owner {
                Some(client) => {
                    let (qos, attempts) = (one.qos, one.attempts);
                    let handed = Handed { client_id: client.into(), serial: 0, qos, attempts };
                    group.group.restore_handed(one.place, handed);
                }
                None => group.group.restore_again(one.place, one.attempts),
            }
        }
        if let Some(group) = self.groups.of_id(id) {
            members.into_iter().for_each(|member| group.group.restore_member(member));
        }
        self.groups.mark_changed(id, true);
        self.end_turn_soon();
    }

    /// Its dead letter is owed, if dead letters are still wanted.
    fn restore_doomed(&mut self, id: GroupId, one: &Unfinished, doom: Doom) {
        let is_wanted = self.shared.share.dead_letter_topic.is_some();
        let reason = match doom {
            Doom::Unacknowledged => None,
            Doom::Refused(reason) => Some(reason),
        };
        if let Some(group) = self.groups.of_id(id).filter(|_| is_wanted) {
            group.group.doom(one.place, one.attempts, reason);
            self.bury_later(id);
        }
    }

    /// Whether the client's session completes the message: at QoS 2 nobody else may get it.
    fn has_exchange(&self, id: GroupId, client_id: &str, one: &Unfinished) -> bool {
        if one.qos != Qos::ExactlyOnce {
            return false;
        }
        let row = self.shared.store.get(Table::Cursors, client_id.as_bytes());
        let row = row.ok().flatten().and_then(|row| cursor::decode(&row).ok());
        let is_it = |found: &Exchange| found.place == one.place && found.group == Some(id);
        row.is_some_and(|row| row.exchanges.iter().any(|(_, found)| is_it(found)))
    }

    fn forget_group(&mut self, id: GroupId, members: &[Arc<str>]) {
        let mut keys = vec![Key::Group(id).encode()];
        keys.extend(members.iter().map(|member| Key::Member(id, member).encode()));
        for key in keys {
            self.turn.put(Table::Shares, key, None);
        }
        self.end_turn_soon();
    }
}
