//! A core without a thread on a store without threads, for tests of what belongs to one turn:
//! nothing happens before the test says so. Never reads or writes a socket.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use tempfile::TempDir;
use tidewire_proto::record::KeyRule;
use tidewire_proto::routing::placement::{Placement, Shelf};
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::websocket::Origins;
use tidewire_store::{Commit, CommitError, Outcome, Store, StoreOptions, Table, TableChange};
use tokio::runtime::{Builder, Runtime};

use crate::backlog::Held;
use crate::config::Config;
use crate::core::inbox::Event;
use crate::core::open::{Conn, ConnId, Phase};
use crate::core::shared::Shared;
use crate::core::socket::Socket;
use crate::core::state::Core;
use crate::core::turn::Ticket;
use crate::link::{Door, Peer, Unbound};
use crate::metrics::Metrics;
use crate::seat::Seat;
use crate::shares::Shares;
use crate::store_options::from_config;
use crate::tight_disk::{Faults, tight_disk};
use crate::wire::UnboundWire;

/// The core, and what it stands on.
pub(crate) struct Alone {
    pub(crate) core: Core,
    pub(crate) store: Store,
    /// Sockets belong to it. It never runs: none ever takes a byte, and what is said to a client
    /// stays in its `out`.
    runtime: Runtime,
    ends: Vec<OwnedFd>,
    faults: Arc<Faults>,
    _folder: TempDir,
}

impl Alone {
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { threads: false, ..from_config(&config) };
        let faults = Arc::<Faults>::default();
        let disk = tight_disk(folder.path(), Arc::clone(&faults));
        let (store, _) = Store::open(disk, options).expect("it opens");
        let partitions = store.streams()[0].partitions.clone();
        let (filters, names_publisher, key) = (vec![], false, KeyRule::Topic);
        let shelf = Shelf { filters, partitions, log_qos0: true, names_publisher, key };
        let placement = Placement::new(vec![shelf], 9).expect("it has partitions");
        let inbox = Arc::default();
        let inboxes = vec![Arc::clone(&inbox)];
        let metrics = Metrics::register();
        let shared = Shared::new(store.clone(), Shares::default(), inboxes, &config, metrics);
        let core = Core::new(0, Arc::new(shared), inbox, placement, Positions::default());
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { core, store, runtime, ends: Vec::new(), faults, _folder: folder }
    }

    /// From now on so many bytes are a large turn.
    pub(crate) fn cut_turns_at(&mut self, bytes: usize) {
        Arc::get_mut(&mut self.core.shared).expect("no other core").turn_bytes_max = bytes;
    }

    /// A client of MQTT 5 says CONNECT, for a session that stays for an hour.
    pub(crate) fn connect(&mut self, client_id: &str) -> ConnId {
        self.greet(&Hello { client_id, is_clean: false, expiry_s: 3600, will_bytes: None })
    }

    /// A client of MQTT 5 says CONNECT.
    pub(crate) fn greet(&mut self, hello: &Hello<'_>) -> ConnId {
        let id = self.accept();
        self.say(id, 0x10, &hello.body());
        id
    }

    /// A client that has connected says CONNECT, for a session that stays for an hour.
    pub(crate) fn hello(&mut self, id: ConnId, client_id: &str) {
        let hello = Hello { client_id, is_clean: false, expiry_s: 3600, will_bytes: None };
        self.say(id, 0x10, &hello.body());
    }

    /// Somebody connects and says nothing yet.
    pub(crate) fn accept(&mut self) -> ConnId {
        let (ours, theirs) = UnixStream::pair().expect("two sockets");
        ours.set_nonblocking(true).expect("a socket");
        self.ends.push(theirs.into());
        self.take_in(Unbound::Unix(ours))
    }

    /// The same by WebSocket. What its link takes to frame it is no longer in its `out`.
    pub(crate) fn accept_web(&mut self) -> ConnId {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        self.ends.push(TcpStream::connect(address).expect("it listens").into());
        let (ours, _) = listener.accept().expect("it has connected");
        ours.set_nonblocking(true).expect("a socket");
        self.take_in(Unbound::Web(UnboundWire::Tcp(ours), Arc::new(Origins::Any)))
    }

    fn take_in(&mut self, link: Unbound) -> ConnId {
        let _within = self.runtime.enter();
        let link = link.bind().expect("a socket");
        let seat = Seat::take(&self.core.shared.connections, usize::MAX).expect("a place");
        let serial = self.core.shared.next_serial();
        let key = self.core.conns.insert(Conn {
            serial,
            socket: Rc::new(Socket::new(link, seat)),
            peer: Peer::InProcess,
            door: Door::INSIDE,
            certified: None,
            named: None,
            newcomer: None,
            pace: None,
            out: Vec::new(),
            partial: Vec::new(),
            waits: Held::of(&self.core.shared.outbound),
            comes: Held::of(&self.core.shared.inbound),
            taken_ms: self.core.uptime_ms,
            is_dirty: false,
            heard_ms: self.core.uptime_ms,
            read_ms: 0,
            until_ms: i64::MAX,
            silence_ms_max: 0,
            phase: Phase::Fresh,
        });
        ConnId { key: u32::try_from(key).expect("few connections"), serial }
    }

    /// The same for a session that begins anew, with a will that says so many bytes.
    pub(crate) fn connect_with_will(&mut self, client_id: &str, will: u16) -> ConnId {
        self.greet(&Hello { client_id, is_clean: true, expiry_s: 3600, will_bytes: Some(will) })
    }

    /// From now on the disk is full, and what is kept for rows is used up. A log of small files is
    /// full soon.
    pub(crate) fn fill(&self) {
        self.faults.set_full(true);
        for bytes in [4 << 10, 256, 0] {
            let value = || Some(vec![0; bytes].into());
            let row = || TableChange::new(Table::Retained, b"x".as_slice().into(), value());
            let commit = || Commit { appends: vec![], changes: vec![row().that_stays()] };
            while self.store.commit(commit()).is_ok() {}
        }
    }

    /// The disk has room again.
    pub(crate) fn make_room(&self) {
        self.faults.set_full(false);
    }

    /// What is not in memory cannot be read from now on.
    pub(crate) fn hide_the_log(&self) {
        self.faults.set_unreadable(true);
    }

    /// It can be read again.
    pub(crate) fn show_the_log(&self) {
        self.faults.set_unreadable(false);
    }

    /// How often that was tried.
    pub(crate) fn hidden_reads(&self) -> usize {
        self.faults.refused_reads()
    }

    /// Turns, until nothing more comes of what was said.
    pub(crate) fn rest(&mut self) {
        for _ in 0..8 {
            self.core.end_turn();
            self.settle();
        }
    }

    /// A client says a packet.
    pub(crate) fn say(&mut self, id: ConnId, first: u8, body: &[u8]) {
        let conn = self.core.conn(id).expect("it is connected");
        conn.partial.push(first);
        let mut rest = body.len();
        while rest > 0x7f {
            conn.partial.push(0x80 | u8::try_from(rest & 0x7f).expect("seven bits"));
            rest >>= 7;
        }
        conn.partial.push(u8::try_from(rest).expect("seven bits"));
        conn.partial.extend(body);
        self.core.on_waiting_bytes(id);
    }

    /// What was said to a client since this was asked last.
    pub(crate) fn heard(&mut self, id: ConnId) -> Vec<u8> {
        std::mem::take(&mut self.core.conn(id).expect("it is connected").out)
    }

    /// The core hears of its commit that nothing of it is kept.
    pub(crate) fn refuse(&mut self, ticket: Ticket) {
        let refused = Outcome {
            ticket,
            result: Err(CommitError::DiskFull),
            stayed: Err(CommitError::DiskFull),
        };
        self.core.on_event(Event::Outcomes(vec![refused]));
    }

    /// The store has its turn, and the core hears of it.
    pub(crate) fn settle(&mut self) {
        self.core.submit();
        self.store.turn();
        let (inbox, mut events) = (Arc::clone(&self.core.inbox), Vec::new());
        let mut waiting = Context::from_waker(Waker::noop());
        // Nothing to hear is as good.
        let _ = pin!(inbox.take(&mut events)).as_mut().poll(&mut waiting);
        for event in events {
            self.core.on_event(event);
        }
    }
}

/// What a client of MQTT 5 says first.
pub(crate) struct Hello<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) is_clean: bool,
    pub(crate) expiry_s: u32,
    /// How much its will says, if it leaves one.
    pub(crate) will_bytes: Option<u16>,
}

impl Hello<'_> {
    fn body(&self) -> Vec<u8> {
        let mut body = b"\x00\x04MQTT\x05".to_vec();
        body.push(u8::from(self.is_clean) << 1 | u8::from(self.will_bytes.is_some()) << 2);
        body.extend(b"\x00\x3c\x05\x11");
        body.extend(self.expiry_s.to_be_bytes());
        body.extend([0, u8::try_from(self.client_id.len()).expect("a short name")]);
        body.extend(self.client_id.bytes());
        if let Some(bytes) = self.will_bytes {
            body.extend(b"\x00\x00\x04gone");
            body.extend(bytes.to_be_bytes());
            body.resize(body.len() + usize::from(bytes), b'x');
        }
        body
    }
}
