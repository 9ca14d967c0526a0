//! The share groups of a core: what each is, how it is found, and what its lists say of it. Their
//! doings are in `group_events` and `group_feed`.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;
use slab::Slab;
use tidewire_proto::id::GroupId;
use tidewire_proto::message::Message;
use tidewire_proto::qos::Qos;
use tidewire_proto::record::SharedRecord;
use tidewire_proto::routing::grant::SessionKey;
use tidewire_proto::session::cursor::{Cursor, Positions};
use tidewire_proto::session::window::Place;
use tidewire_proto::share::group::{Group, Handed};

use crate::core::letters::Address;

/// In the trie a group stands beside the sessions, told apart by this bit.
const GROUP_BIT: u32 = 1 << 31;

/// Where a group is among those of its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupKey(u32);

impl GroupKey {
    /// Its name in the trie.
    pub(crate) fn in_trie(self) -> SessionKey {
        SessionKey(self.0 | GROUP_BIT)
    }

    /// The group that a name in the trie stands for.
    pub(crate) fn from_trie(key: SessionKey) -> Option<Self> {
        (key.0 & GROUP_BIT != 0).then_some(Self(key.0 & !GROUP_BIT))
    }
}

/// One share group.
pub(crate) struct SharedGroup {
    pub(crate) id: GroupId,
    /// The whole filter.
    pub(crate) filter: Arc<str>,
    /// The filter without `$share/name/`.
    pub(crate) plain: Box<str>,
    pub(crate) group: Group,
    pub(crate) cursor: Cursor,
    /// Members that are connected, by the number of their connection.
    pub(crate) addresses: AHashMap<u64, Address>,
    /// A row of it is, or may be, in the tables.
    pub(crate) has_row: bool,
    /// The positions in the row that was written last.
    pub(crate) written: Positions,
    /// It differs from its row.
    pub(crate) is_changed: bool,
    pub(crate) is_urgent: bool,
    pub(crate) is_listed: bool,
    pub(crate) is_hungry: bool,
    pub(crate) letters: Letters,
    pub(crate) unread: Unread,
}

/// When dead letters that found no room are tried again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Letters {
    /// A time for it is set.
    pub(crate) is_set: bool,
    /// How long the last wait was.
    pub(crate) waited_ms: i64,
    /// The last that was tried, when there are more behind it: they have their turn next.
    pub(crate) after: Option<Place>,
    /// A message could not be read since the first of them was tried.
    pub(crate) has_unread: bool,
}

/// When a group reads again what the disk did not give it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unread {
    /// A time for it is set: nothing is read before.
    pub(crate) is_set: bool,
    /// How long the last wait was.
    pub(crate) waited_ms: i64,
}

/// A message that a group may hand out.
pub(crate) struct Offer<'a> {
    pub(crate) message: &'a Message<'a>,
    /// Its record, for who gets it later or elsewhere.
    pub(crate) record: &'a dyn Fn() -> SharedRecord,
    /// `None` while it is only live.
    pub(crate) place: Option<Place>,
}

/// All groups of a core.
#[derive(Default)]
pub(crate) struct Groups {
    slots: Slab<SharedGroup>,
    by_id: AHashMap<GroupId, GroupKey>,
    /// Groups whose rows go into the commit of this turn.
    pub(crate) urgent: Vec<GroupId>,
    /// Groups whose rows go into the commit of the next tick.
    pub(crate) changed: Vec<GroupId>,
    /// Groups that may have something to hand out, in the order in which they have their turns.
    pub(crate) hungry: VecDeque<GroupId>,
}

impl Groups {
    pub(crate) fn key_of(&self, id: GroupId) -> Option<GroupKey> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn get(&mut self, key: GroupKey) -> Option<&mut SharedGroup> {
        self.slots.get_mut(key.0 as usize)
    }

    pub(crate) fn of_id(&mut self, id: GroupId) -> Option<&mut SharedGroup> {
        let key = self.key_of(id)?;
        self.get(key)
    }

    /// Takes a group in. `None` when a core cannot have so many.
    pub(crate) fn insert(&mut self, group: SharedGroup) -> Option<GroupKey> {
        let id = group.id;
        let key = u32::try_from(self.slots.vacant_key()).ok().filter(|key| key & GROUP_BIT == 0)?;
        self.slots.insert(group);
        self.by_id.insert(id, GroupKey(key));
        Some(GroupKey(key))
    }

    pub(crate) fn remove(&mut self, id: GroupId) -> Option<SharedGroup> {
        let key = self.by_id.remove(&id)?;
        self.slots.try_remove(key.0 as usize)
    }

    /// The rows of all go into the commit of the next tick.
    pub(crate) fn mark_all_changed(&mut self) {
        let ids: Vec<GroupId> = self.by_id.keys().copied().collect();
        ids.into_iter().for_each(|id| self.mark_changed(id, false));
    }

    /// Memory that a time of many messages left is given back.
    pub(crate) fn trim(&mut self) {
        self.slots.iter_mut().for_each(|(_, group)| group.group.trim());
    }

    /// The rows of those that stand elsewhere than their rows say go into the commit of the next
    /// tick. Others would be written as they are.
    pub(crate) fn mark_moved(&mut self, core: &Positions) {
        let has_moved = |group: &SharedGroup| *group.cursor.positions(core) != group.written;
        let moved = self.slots.iter().map(|(_, group)| group).filter(|group| has_moved(group));
        let ids: Vec<GroupId> = moved.map(|group| group.id).collect();
        ids.into_iter().for_each(|id| self.mark_changed(id, false));
    }

    /// Its row goes into the commit of this turn, or of the next tick.
    pub(crate) fn mark_changed(&mut self, id: GroupId, is_urgent: bool) {
        if let Some(key) = self.key_of(id) {
            self.mark(key, is_urgent);
        }
    }

    /// Likewise, where it is known which it is.
    pub(crate) fn mark(&mut self, key: GroupKey, is_urgent: bool) {
        let Some(group) = self.slots.get_mut(key.0 as usize) else { return };
        let id = group.id;
        group.is_changed = true;
        let mark = if is_urgent { &mut group.is_urgent } else { &mut group.is_listed };
        if std::mem::replace(mark, true) {
            return;
        }
        if is_urgent {
            self.urgent.push(id);
        } else {
            self.changed.push(id);
        }
    }

    /// The end of the turn looks whether it has something to hand out.
    pub(crate) fn mark_hungry(&mut self, id: GroupId) {
        if let Some(key) = self.key_of(id) {
            self.make_hungry(key);
        }
    }

    /// Likewise, where it is known which it is.
    fn make_hungry(&mut self, key: GroupKey) {
        let Some(group) = self.slots.get_mut(key.0 as usize) else { return };
        if !std::mem::replace(&mut group.is_hungry, true) {
            self.hungry.push_back(group.id);
        }
    }

    /// A message that was handed out is over. The answer is what was known of it; `None` when it
    /// was not with this member, or the group is gone.
    pub(crate) fn end(&mut self, id: GroupId, place: Place, member: &str) -> Option<Handed> {
        let key = self.key_of(id)?;
        // In any case: who says so may have room for another.
        self.make_hungry(key);
        let handed = self.get(key)?.group.ended(place, member)?;
        // At QoS 2 the session may forget the exchange when this is durable.
        self.mark(key, handed.qos == Qos::ExactlyOnce);
        Some(handed)
    }
}
