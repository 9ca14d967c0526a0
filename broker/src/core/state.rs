//! What a core holds. Its doings are in the files beside this one, one kind each.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use slab::Slab;
use tidewire_proto::delivery::{Shape, Template};
use tidewire_proto::id::GroupId;
use tidewire_proto::routing::grant::SessionKey;
use tidewire_proto::routing::placement::Placement;
use tidewire_proto::routing::rewrite::Rewriter;
use tidewire_proto::routing::routes::Routes;
use tidewire_proto::routing::trie::Trie;
use tidewire_proto::session::cursor::{Barrier, Positions, Reading};
use tidewire_proto::topic::TopicFilter;
use tidewire_store::Store;
use tokio::sync::{Notify, oneshot};

use crate::core::awake::Awake;
use crate::core::gather::Gather;
use crate::core::greeting::Greeting;
use crate::core::groups::Groups;
use crate::core::inbox::Inbox;
use crate::core::letters::Post;
use crate::core::looks::Looks;
use crate::core::open::{Conn, ConnId, Open, Phase, Seek};
use crate::core::outputs::Outputs;
use crate::core::shared::{Shared, wall_clock_ms};
use crate::core::tellers::Tellers;
use crate::core::timers::Timers;
use crate::core::turn::{Ticket, Turn, Waiting};
use crate::core::unsettled::Unsettled;
use crate::metrics::CoreCounters;
use crate::registry::Owner;

/// Bytes read from one socket before others get their turn.
const READ_BYTES_MAX: usize = 128 * 1024;

/// The state of one core. Only its own thread touches it.
pub(crate) struct Core {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) conns: Slab<Conn>,
    pub(crate) trie: Trie,
    pub(crate) routes: Routes,
    pub(crate) placement: Placement,
    pub(crate) rewriter: Rewriter,
    /// The next offset per partition that this core has not handed out.
    pub(crate) positions: Positions,
    /// How often they moved.
    pub(crate) moves: u64,
    /// Where streams grew, oldest first.
    pub(crate) barriers: Vec<Barrier>,
    pub(crate) groups: Groups,
    /// Letters of this turn to other cores, and to this one.
    pub(crate) post: Post,
    pub(crate) turn: Turn,
    /// Commits on their way, oldest first, and who waits for each.
    pub(crate) commits: VecDeque<Handed>,
    pub(crate) next_ticket: Ticket,
    /// The last commit whose rows were refused.
    pub(crate) last_refused: Option<Ticket>,
    /// Topics whose messages at QoS 0 wait for the disk.
    pub(crate) unsettled: Unsettled,
    /// Connections with bytes to write at the end of the turn.
    pub(crate) dirty: Vec<ConnId>,
    /// Sessions whose rows go into the commit of this turn.
    pub(crate) urgent: Vec<ConnId>,
    /// Sessions whose rows go into the commit of the next tick.
    pub(crate) changed: Vec<ConnId>,
    /// Sessions that may have room for more, in the order in which they have their turns.
    pub(crate) hungry: VecDeque<ConnId>,
    /// Connections that are not read while the store is behind.
    pub(crate) paused: Vec<ConnId>,
    /// Sessions whose last rows are on their way, and who waits to take them up.
    pub(crate) ending: AHashMap<u64, Vec<oneshot::Sender<()>>>,
    /// Sessions whose connection ended before their CONNECT was answered: they end when it is known
    /// what became of it.
    pub(crate) unheard: AHashMap<u64, Box<Open>>,
    /// Subscriptions that wait for what the broker says of itself.
    pub(crate) greetings: Vec<Greeting>,
    /// What waits for its time.
    pub(crate) timers: Timers,
    pub(crate) scratch: Scratch,
    pub(crate) tellers: Tellers,
    /// Bytes that were put into outputs since they were last written.
    pub(crate) unwritten: usize,
    /// Wakes the end of the turn.
    pub(crate) turn_end: Arc<Notify>,
    /// Whether its thread pauses before it looks for more.
    pub(crate) gather: Arc<Gather>,
    pub(crate) awake: Rc<Awake>,
    pub(crate) is_turn_due: bool,
    /// What has something to say is about to be written anyway.
    pub(crate) writes_follow: bool,
    /// Share groups are fed before sessions this time: neither may use up every turn.
    pub(crate) are_groups_first: bool,
    /// Messages that were handed out wait for a commit to go with, and there is a task that ends
    /// their wait.
    pub(crate) is_late_waiting: bool,
    /// They have waited.
    pub(crate) is_late_due: bool,
    /// Wall-clock time of this turn.
    pub(crate) now_ms: i64,
    /// Time since the core began, as of the last tick: silence is measured with it, because the
    /// wall clock may jump.
    pub(crate) uptime_ms: i64,
    pub(crate) started: Instant,
    pub(crate) counters: CoreCounters,
    pub(crate) stopping: Option<oneshot::Sender<()>>,
    /// Waits that begin at the end of the turn.
    pub(crate) deferred: Vec<Deferred>,
    pub(crate) is_clock_stale: bool,
    /// The connection whose row is renewed next.
    pub(crate) renew_from: usize,
    pub(crate) ticks: u32,
}

/// A commit on its way.
pub(crate) struct Handed {
    pub(crate) ticket: u64,
    pub(crate) waiting: Vec<Waiting>,
    /// When it was handed to the store.
    pub(crate) at: Instant,
}

/// Something that a connection waits for outside its core.
pub(crate) enum Deferred {
    /// The former owner of its client id to let go.
    Claim(ConnId, oneshot::Receiver<()>),
    /// A client that was too fast, until it may go on.
    Rest(ConnId, Duration),
    /// A part of the log that is not in memory.
    /// With a filter, only what matches it; with the number of the read.
    Read(ConnId, Reading, Option<TopicFilter>, u64),
    /// Where a subscription begins.
    Seek(Seek),
    /// The same as `Read` for a share group.
    GroupRead(GroupId, Reading, Option<TopicFilter>),
    /// Messages that were handed out, for a commit to go into the log with.
    Late,
    /// What a session left to the log, when its replay came to the end first.
    LeftToLog(ConnId),
}

/// Memory that is used again and again.
pub(crate) struct Scratch {
    pub(crate) read: Vec<u8>,
    pub(crate) outputs: Outputs,
    pub(crate) templates: Templates,
    /// What all that are fed have cost so far.
    pub(crate) looks: Looks,
}

/// One encoding of the message at hand per shape of receiver.
#[derive(Default)]
pub(crate) struct Templates {
    pub(crate) kept: Vec<(Shape, Template)>,
    pub(crate) used: usize,
    pub(crate) own: Template,
}

impl Core {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        inbox: Arc<Inbox>,
        placement: Placement,
        positions: Positions,
    ) -> Self {
        let barriers = barriers(&shared.store);
        let rewriter = Rewriter::new(Arc::clone(&shared.rules.on_publish));
        let post = Post::new(shared.inboxes.len());
        Self {
            index,
            shared,
            inbox,
            placement,
            rewriter,
            positions,
            moves: 0,
            barriers,
            conns: Slab::new(),
            trie: Trie::default(),
            routes: Routes::default(),
            groups: Groups::default(),
            post,
            turn: Turn::default(),
            commits: VecDeque::new(),
            next_ticket: 0,
            last_refused: None,
            unsettled: Unsettled::default(),
            dirty: Vec::new(),
            urgent: Vec::new(),
            changed: Vec::new(),
            hungry: VecDeque::new(),
            paused: Vec::new(),
            ending: AHashMap::new(),
            unheard: AHashMap::new(),
            greetings: Vec::new(),
            timers: Timers::default(),
            scratch: Scratch {
                read: vec![0; READ_BYTES_MAX],
                outputs: Outputs::default(),
                templates: Templates::default(),
                looks: Looks::default(),
            },
            tellers: Tellers::default(),
            unwritten: 0,
            turn_end: Arc::new(Notify::new()),
            gather: Arc::default(),
            awake: Rc::default(),
            is_turn_due: false,
            writes_follow: false,
            are_groups_first: false,
            is_late_waiting: false,
            is_late_due: false,
            now_ms: wall_clock_ms(),
            uptime_ms: 0,
            started: Instant::now(),
            counters: CoreCounters::default(),
            stopping: None,
            deferred: Vec::new(),
            is_clock_stale: true,
            renew_from: 0,
            ticks: 0,
        }
    }

    pub(crate) fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        conn_of(&mut self.conns, id)
    }

    pub(crate) fn open(&mut self, id: ConnId) -> Option<&mut Open> {
        open_of(&mut self.conns, id)
    }

    pub(crate) fn owner(&self, id: ConnId) -> Owner {
        Owner { core: self.index, key: id.key, serial: id.serial }
    }

    pub(crate) fn id_at(&self, session: SessionKey) -> Option<ConnId> {
        let conn = self.conns.get(session.0 as usize)?;
        Some(ConnId { key: session.0, serial: conn.serial })
    }

    /// Bytes were put into the connection's `out`: write them at the end of the turn.
    pub(crate) fn mark_dirty(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id).filter(|conn| !conn.is_dirty) {
            conn.is_dirty = true;
            self.dirty.push(id);
        }
        if !self.writes_follow {
            self.end_turn_soon();
        }
    }

    /// The session's rows changed: they are written with the next tick, or with this turn.
    pub(crate) fn mark_changed(&mut self, id: ConnId, is_urgent: bool) {
        let Some(open) = self.open(id).filter(|open| open.is_durable()) else { return };
        open.is_changed = true;
        let list = if is_urgent { &mut open.is_urgent } else { &mut open.is_listed };
        if std::mem::replace(list, true) {
            return;
        }
        if is_urgent {
            self.urgent.push(id);
            self.end_turn_soon();
        } else {
            self.changed.push(id);
        }
    }

    /// The turn is to commit without waiting for its end.
    pub(crate) fn is_turn_large(&mut self) -> bool {
        self.turn.bytes() >= self.shared.turn_bytes_max
    }

    pub(crate) fn end_turn_soon(&mut self) {
        if !self.is_turn_due {
            self.is_turn_due = true;
            self.turn_end.notify_one();
        }
    }
}

/// The connection with this name, if it is still the one.
fn conn_of(conns: &mut Slab<Conn>, id: ConnId) -> Option<&mut Conn> {
    conns.get_mut(id.key as usize).filter(|conn| conn.serial == id.serial)
}

/// Likewise, with its session, beside what else the core has.
pub(crate) fn open_of(conns: &mut Slab<Conn>, id: ConnId) -> Option<&mut Open> {
    match &mut conn_of(conns, id)?.phase {
        Phase::Open(open) => Some(open),
        _ => None,
    }
}

/// Every change of the number of partitions that any stream has seen.
fn barriers(store: &Store) -> Vec<Barrier> {
    let mut barriers = Vec::new();
    for stream in store.streams().iter() {
        for layout in stream.layouts.iter().filter(|layout| !layout.ends.is_empty()) {
            let ends = layout.ends.iter().copied().chain(std::iter::repeat(0));
            barriers.push(Barrier::new(stream.partitions.iter().copied().zip(ends).collect()));
        }
    }
    barriers
}
