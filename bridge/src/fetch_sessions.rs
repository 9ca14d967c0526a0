//! Fetch sessions: what a connection fetches again and again, so that it need not ask for all of it
//! each time, nor hear of what is not new. One per connection, bounded together. Never reads.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use kafka_protocol::protocol::StrBytes;
use parking_lot::Mutex;
use uuid::Uuid;

/// No stream has a longer name, and none is remembered.
const NAME_BYTES_MAX: usize = 249;

/// A connection, by its two ends.
pub(crate) type Connection = (SocketAddr, SocketAddr);

/// A topic, as this version of Fetch names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    Id(Uuid),
    Name(StrBytes),
}

/// A partition of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) topic: Topic,
    pub(crate) index: i32,
}

/// What is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) offset: i64,
    pub(crate) bytes_max: i32,
    pub(crate) leader_epoch: i32,
}

/// Where the log began and ended when the client was told so last.
pub(crate) type Said = (u64, u64);

/// What one Fetch says of sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) uses_ids: bool,
}

/// One Fetch, with what its session knows.
#[derive(Debug)]
pub(crate) struct Turn {
    /// 0 is none.
    pub(crate) session: i32,
    /// Is the client told of everything, news or not?
    pub(crate) is_full: bool,
    pub(crate) wanted: Vec<(Place, Asked, Option<Said>)>,
}

/// Why a client has to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// There is no such session (any more).
    Unknown,
    /// Not its next request.
    Epoch,
    /// It named topics in the other way.
    Naming,
}

/// All of them.
pub(crate) struct FetchSessions {
    partitions_max: usize,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    by_connection: HashMap<Connection, Session>,
    /// Of all sessions together.
    partitions: usize,
    last_id: i32,
}

struct Session {
    id: i32,
    epoch: i32,
    uses_ids: bool,
    /// In the order in which they are read.
    entries: BTreeMap<u64, (Place, Asked, Option<Said>)>,
    turns: HashMap<Place, u64>,
    last_turn: u64,
}

impl FetchSessions {
    /// None yet; together they remember no more partitions than this.
    pub(crate) fn new(partitions_max: usize) -> Self {
        Self { partitions_max, all: Mutex::default() }
    }

    /// One more Fetch of a connection.
    pub(crate) fn turn(
        &self,
        connection: Connection,
        head: Head,
        asked: Vec<(Place, Asked)>,
        forgotten: &[Place],
    ) -> Result<Turn, NoTurn> {
        let mut all = self.all.lock();
        match head.epoch {
            ..=0 => {
                all.end(connection);
                let session = match head.epoch {
                    0 => all.open(connection, head.uses_ids, &asked, self.partitions_max),
                    _ => 0,
                };
                let wanted = asked.into_iter().map(|(place, asked)| (place, asked, None));
                Ok(Turn { session, is_full: true, wanted: wanted.collect() })
            }
            _ => all.go_on(connection, head, (asked, forgotten), self.partitions_max),
        }
    }

    /// What the client is told now: where each log lies, and whether records came along. Such ones
    /// go to the end, so that all have their turn where answers are full.
    pub(crate) fn told(&self, connection: Connection, id: i32, told: &[(&Place, Said, bool)]) {
        let mut all = self.all.lock();
        let session = all.by_connection.get_mut(&connection).filter(|session| session.id == id);
        let Some(session) = session else { return };
        for (place, said, has_records) in told {
            session.told(place, *said, *has_records);
        }
    }

    /// The connection is gone.
    pub(crate) fn end(&self, connection: Connection) {
        self.all.lock().end(connection);
    }
}

impl All {
    fn end(&mut self, connection: Connection) {
        if let Some(session) = self.by_connection.remove(&connection) {
            self.partitions -= session.entries.len();
        }
    }

    /// 0 if there is no room: the client goes on without a session.
    fn open(
        &mut self,
        connection: Connection,
        uses_ids: bool,
        asked: &[(Place, Asked)],
        partitions_max: usize,
    ) -> i32 {
        let fits = self.partitions + asked.len() <= partitions_max;
        if !fits || asked.is_empty() || asked.iter().any(|(place, _)| place.is_too_long()) {
            return 0;
        }
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let (entries, turns) = (BTreeMap::new(), HashMap::new());
        let mut session =
            Session { id: self.last_id, epoch: 1, uses_ids, entries, turns, last_turn: 0 };
        for (place, asked) in asked {
            session.want(place.clone(), *asked);
        }
        self.partitions += session.entries.len();
        self.by_connection.insert(connection, session);
        self.last_id
    }

    fn go_on(
        &mut self,
        connection: Connection,
        head: Head,
        (asked, forgotten): (Vec<(Place, Asked)>, &[Place]),
        partitions_max: usize,
    ) -> Result<Turn, NoTurn> {
        let session = self.by_connection.get_mut(&connection);
        let session = session.filter(|session| session.id == head.id).ok_or(NoTurn::Unknown)?;
        if session.epoch != head.epoch {
            return Err(NoTurn::Epoch);
        }
        if session.uses_ids != head.uses_ids {
            return Err(NoTurn::Naming);
        }
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        let before = session.entries.len();
        for place in forgotten {
            session.forget(place);
        }
        let is_too_long = asked.iter().any(|(place, _)| place.is_too_long());
        for (place, asked) in asked {
            session.want(place, asked);
        }
        let wanted = session.entries.values().cloned().collect();
        self.partitions = self.partitions - before + session.entries.len();
        if is_too_long || self.partitions > partitions_max {
            self.end(connection);
            return Err(NoTurn::Unknown);
        }
        Ok(Turn { session: head.id, is_full: false, wanted })
    }
}

impl Session {
    /// From the place that it has in the order, if it has one.
    fn want(&mut self, place: Place, asked: Asked) {
        let known = self.turns.get(&place).and_then(|turn| self.entries.get_mut(turn));
        if let Some((_, known, _)) = known {
            *known = asked;
            return;
        }
        self.last_turn += 1;
        self.turns.insert(place.clone(), self.last_turn);
        self.entries.insert(self.last_turn, (place, asked, None));
    }

    fn forget(&mut self, place: &Place) {
        if let Some(turn) = self.turns.remove(place) {
            self.entries.remove(&turn);
        }
    }

    fn told(&mut self, place: &Place, said: Said, has_records: bool) {
        let Some(turn) = self.turns.get_mut(place) else { return };
        let Some(mut entry) = self.entries.remove(turn) else { return };
        entry.2 = Some(said);
        if has_records {
            self.last_turn += 1;
            *turn = self.last_turn;
        }
        self.entries.insert(*turn, entry);
    }
}

impl Place {
    fn is_too_long(&self) -> bool {
        matches!(&self.topic, Topic::Name(name) if name.len() > NAME_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Connection, FetchSessions, Head, NoTurn, Place, Topic, Turn};
    use kafka_protocol::protocol::StrBytes;

    fn connection(port: u16) -> Connection {
        (([127, 0, 0, 1], port).into(), ([127, 0, 0, 1], 9092).into())
    }

    fn place(index: i32) -> Place {
        Place { topic: Topic::Name(StrBytes::from_static_str("mqtt")), index }
    }

    fn asked(offset: i64) -> Asked {
        Asked { offset, bytes_max: 1, leader_epoch: -1 }
    }

    fn head(id: i32, epoch: i32) -> Head {
        Head { id, epoch, uses_ids: false }
    }

    fn all(indexes: &[i32]) -> Vec<(Place, Asked)> {
        indexes.iter().map(|index| (place(*index), asked(0))).collect()
    }

    fn order(turn: &Turn) -> Vec<(i32, i64)> {
        turn.wanted.iter().map(|(place, asked, _)| (place.index, asked.offset)).collect()
    }

    #[test]
    fn a_session_remembers_what_is_wanted_and_gives_all_their_turn() {
        let sessions = FetchSessions::new(10);
        let one = connection(1);
        let first = sessions.turn(one, head(0, 0), all(&[0, 1, 2]), &[]).unwrap();
        assert!(first.is_full && first.session != 0);
        sessions.told(one, first.session, &[(&place(0), (0, 9), true), (&place(1), (0, 3), false)]);
        let changes = vec![(place(0), asked(9)), (place(3), asked(5))];
        let next = sessions.turn(one, head(first.session, 1), changes, &[place(2)]).unwrap();
        assert!(!next.is_full && next.session == first.session);
        assert_eq!(order(&next), [(1, 0), (0, 9), (3, 5)]);
        let said: Vec<_> = next.wanted.iter().map(|(_, _, said)| *said).collect();
        assert_eq!(said, [Some((0, 3)), Some((0, 9)), None]);
        let last = sessions.turn(one, head(first.session, 2), Vec::new(), &[]).unwrap();
        assert_eq!(order(&last), order(&next));
    }

    #[test]
    fn whoever_is_not_the_session_or_not_at_its_epoch_begins_anew() {
        let sessions = FetchSessions::new(10);
        let id = sessions.turn(connection(1), head(0, 0), all(&[0]), &[]).unwrap().session;
        let with_ids = Head { uses_ids: true, ..head(id, 1) };
        for (port, head, expected) in [
            (1, head(id, 2), NoTurn::Epoch),
            (1, with_ids, NoTurn::Naming),
            (1, head(id + 1, 1), NoTurn::Unknown),
            (1, head(0, 1), NoTurn::Unknown),
            (2, head(id, 1), NoTurn::Unknown),
        ] {
            let turn = sessions.turn(connection(port), head, Vec::new(), &[]);
            assert_eq!(turn.unwrap_err(), expected, "{head:?}");
        }
        assert!(sessions.turn(connection(1), head(id, 1), Vec::new(), &[]).is_ok());
        assert_eq!(sessions.turn(connection(1), head(id, -1), all(&[0]), &[]).unwrap().session, 0);
        let gone = sessions.turn(connection(1), head(id, 2), Vec::new(), &[]);
        assert_eq!(gone.unwrap_err(), NoTurn::Unknown, "it was closed");
    }

    #[test]
    fn together_they_remember_no_more_than_they_may() {
        let sessions = FetchSessions::new(3);
        let open = |port, indexes: &[i32]| {
            sessions.turn(connection(port), head(0, 0), all(indexes), &[]).unwrap().session
        };
        let id = open(1, &[0, 1]);
        assert_eq!((id != 0, open(2, &[0, 1])), (true, 0), "there is room for one of two");
        let grown = sessions.turn(connection(1), head(id, 1), all(&[2, 3]), &[]);
        assert_eq!(grown.unwrap_err(), NoTurn::Unknown, "it may not grow beyond");
        assert_ne!(open(2, &[0, 1, 1]), 0, "what it held is free");
        sessions.end(connection(2));
        assert_ne!(open(3, &[0, 1, 2]), 0, "and so it is when a connection ends");
        let long = Place { topic: Topic::Name("x".repeat(250).into()), index: 0 };
        let turn = sessions.turn(connection(3), head(0, 0), vec![(long, asked(0))], &[]).unwrap();
        assert_eq!(turn.session, 0, "no stream has such a name");
    }
}
