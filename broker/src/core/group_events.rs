//! What happens to the share groups of a core: members come and go, messages end.

use std::sync::Arc;

use tidewire_proto::id::GroupId;
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::Grant;
use tidewire_proto::session::cursor::{Cursor, Positions};
use tidewire_proto::session::window::Place;
use tidewire_proto::share::group::{Group, Link};
use tidewire_proto::share::strategy::Strategy;
use tidewire_proto::topic;
use tidewire_store::Table;
use tidewire_store::rows::share::{Doom, GroupRow, Key, Unfinished};

use crate::core::groups::{Letters, SharedGroup, Unread};
use crate::core::letters::{Address, Fate, Join, Notice, ToGroup, ToMember};
use crate::core::state::Core;
use crate::core::turn::{Member, Waiting};
use crate::metrics::{DropReason, Quality};

/// In the trie a group takes everything; what a member gets is decided with the member.
pub(crate) const ANY: Grant =
    Grant { qos: Qos::ExactlyOnce, no_local: false, retain_as_published: false, id: 0 };

impl Core {
    pub(crate) fn on_group_letters(&mut self, letters: Vec<ToGroup>) {
        for ToGroup { group: id, member, what } in letters {
            match what {
                Notice::Join(join) => self.on_join(id, &member, join),
                Notice::Ended(place, fate, confirm) => {
                    self.on_handed_ended(id, place, &member, fate);
                    if let Some(confirm) = confirm {
                        self.post.for_member(confirm.core, ToMember::Confirmed(confirm));
                    }
                }
                other => self.on_member_change(id, &member, other),
            }
            self.groups.mark_hungry(id);
        }
        self.end_turn_soon();
    }

    fn on_member_change(&mut self, id: GroupId, member: &Arc<str>, what: Notice) {
        let Some(group) = self.groups.of_id(id) else { return };
        match what {
            Notice::Leave(serial) => {
                group.addresses.remove(&serial);
                group.group.leave(member, serial);
                self.groups.mark_changed(id, true);
            }
            Notice::Lost(serial, kept, is_over) => {
                group.addresses.remove(&serial);
                group.group.lost(member, serial, &kept, is_over);
                self.groups.mark_changed(id, true);
            }
            Notice::SessionEnded => {
                group.group.session_ended(member);
                self.groups.mark_changed(id, true);
            }
            Notice::Unreached(place, serial) => {
                group.addresses.remove(&serial);
                group.group.unreached(place, serial);
                self.groups.mark_changed(id, true);
            }
            Notice::Returned(place, is_full) => group.group.returned(place, member, is_full),
            Notice::Room(serial) => group.group.has_room(serial),
            Notice::Join(_) | Notice::Ended(..) => (),
        }
        self.drop_if_empty(id);
    }

    fn on_join(&mut self, id: GroupId, member: &Arc<str>, join: Join) {
        if self.groups.key_of(id).is_none() {
            let cursor = Cursor::live();
            self.add_group(id, Arc::clone(&join.filter), cursor, false);
        }
        if let Some(group) = self.groups.of_id(id) {
            let Join { address, limit, is_durable, .. } = join;
            let serial = address.conn.serial;
            group.addresses.insert(serial, address);
            let link = Link { serial, qos: address.grant.qos, limit };
            group.group.join(Arc::clone(member), is_durable, link);
            self.groups.mark_changed(id, true);
        }
        if let Some(token) = join.token {
            // A crash forgets a group that has no row, and who is in it.
            let Address { core, conn, .. } = join.address;
            let member = Box::new(Member { core, conn, token });
            self.turn.waiting.push(Waiting::Member(id, member));
        }
    }

    /// Takes a group up: new, or as it was stored.
    pub(crate) fn add_group(
        &mut self,
        id: GroupId,
        filter: Arc<str>,
        cursor: Cursor,
        has_row: bool,
    ) {
        let Ok(Some((name, plain))) = topic::split_share(&filter) else { return };
        let group = SharedGroup {
            id,
            plain: plain.into(),
            group: Group::new(self.strategy_of(name)),
            filter: Arc::clone(&filter),
            cursor,
            addresses: ahash::AHashMap::new(),
            has_row,
            written: Positions::default(),
            is_changed: false,
            is_urgent: false,
            is_listed: false,
            is_hungry: false,
            letters: Letters::default(),
            unread: Unread::default(),
        };
        if let Some(key) = self.groups.insert(group) {
            self.trie.insert(plain, key.in_trie(), ANY);
        }
    }

    fn strategy_of(&self, name: &str) -> Strategy {
        let share = &self.shared.share;
        let own = share.groups.iter().find(|group| group.name == name);
        own.map_or(share.strategy, |group| group.strategy).into()
    }

    fn on_handed_ended(&mut self, id: GroupId, place: Place, member: &str, fate: Fate) {
        let Some(handed) = self.groups.end(id, place, member) else { return };
        if let Fate::Refused(reason) = fate {
            self.bury(id, place, handed.attempts, Some(reason));
        }
    }

    fn drop_if_empty(&mut self, id: GroupId) {
        let Some(group) = self.groups.of_id(id).filter(|group| group.group.is_empty()) else {
            return;
        };
        let (has_row, plain) = (group.has_row, group.plain.clone());
        let unwritten = group.group.doomed().filter(|(_, doomed)| !doomed.is_underway).count();
        if unwritten > 0 {
            let filter = &*group.filter;
            tracing::warn!(filter, unwritten, "dead letters are lost: their group has no member");
            let label = (DropReason::Store, Quality::AtLeastOnce);
            self.counters.messages_dropped.add(label, unwritten as u64);
        }
        if let Some(key) = self.groups.key_of(id) {
            self.trie.remove(&plain, key.in_trie());
        }
        self.groups.remove(id);
        if has_row {
            let key = Key::Group(id).encode();
            self.turn.put(Table::Shares, key, None);
        }
    }

    /// Puts the row of a group into this turn's commit, if it changed.
    pub(crate) fn write_group(&mut self, id: GroupId) {
        let Some(group) = self.groups.of_id(id) else { return };
        group.is_urgent = false;
        if !std::mem::take(&mut group.is_changed) {
            return;
        }
        let is_durable = group.group.is_durable();
        if !is_durable && !group.has_row {
            return;
        }
        group.has_row = is_durable;
        group.written = group.cursor.positions(&self.positions).clone();
        let row = is_durable.then(|| {
            let positions = group.written.clone();
            let unfinished = unfinished(&group.group);
            GroupRow { filter: (*group.filter).into(), positions, unfinished }.encode()
        });
        self.turn.put(Table::Shares, Key::Group(id).encode(), row);
    }
}

fn unfinished(group: &Group) -> Vec<Unfinished> {
    let handed = group.handed().map(|(place, handed)| Unfinished {
        place: *place,
        client_id: Some((*handed.client_id).into()),
        qos: handed.qos,
        attempts: handed.attempts,
        doomed: None,
    });
    let again = group.again().map(|(place, attempts)| Unfinished {
        place: *place,
        client_id: None,
        qos: Qos::AtLeastOnce,
        attempts: *attempts,
        doomed: None,
    });
    let doomed = group.doomed().map(|(place, doomed)| Unfinished {
        place: *place,
        client_id: None,
        qos: Qos::AtLeastOnce,
        attempts: doomed.attempts,
        doomed: Some(doomed.reason.map_or(Doom::Unacknowledged, Doom::Refused)),
    });
    handed.chain(again).chain(doomed).collect()
}
