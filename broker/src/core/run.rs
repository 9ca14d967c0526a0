//! The thread of a core and the tasks on it: one per connection, one for the end of a turn, one
//! for the inbox, one for the clock. A core's state is borrowed between waits, never across one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidewire_proto::routing::placement::Placement;
use tidewire_proto::session::cursor::{Positions, Reading};
use tidewire_proto::topic::TopicFilter;
use tidewire_store::{ReadError, Slice};
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

use crate::backlog::Held;
use crate::config::ThreadsConfig;
use crate::core::awake::Awake;
use crate::core::gather::Gather;
use crate::core::inbox::{Event, Inbox};
use crate::core::open::{Conn, ConnId, Phase};
use crate::core::packets::ReadEnd;
use crate::core::replay::find_start;
use crate::core::shared::{Shared, wall_clock_ms};
use crate::core::socket::Socket;
use crate::core::state::{Core, Deferred};
use crate::core::stored::READ_LOG_BYTES;
use crate::core::tick::TICK_MS;
use crate::link::Accepted;
use crate::metrics::CloseReason;

/// How long a client is read after our last byte, so that it can read that byte.
const LINGER_MS: u64 = 1_000;

/// Commits of one core that may wait for the store before it stops to read.
const COMMITS_WAITING_MAX: usize = 1_024;

/// How long messages that were handed out and that nobody waits for wait for a commit to go with.
const LATE_MAX: Duration = Duration::from_millis(5);

type Shell = Rc<RefCell<Core>>;

/// Starts the thread of a core.
pub(crate) fn start(
    index: usize,
    shared: Arc<Shared>,
    placement: Placement,
    positions: Positions,
    threads: &ThreadsConfig,
) -> io::Result<JoinHandle<()>> {
    let microseconds = |us: u16| Duration::from_micros(us.into());
    let stay_awake = microseconds(threads.awake_us);
    // Who is to be quick does not pause.
    let pause = if stay_awake.is_zero() { threads.gather_us_max } else { 0 };
    let gather = Arc::new(Gather::new(microseconds(pause)));
    let pausing = Arc::clone(&gather);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().on_thread_park(move || pausing.pause());
    // Each session has one read of the log on its way at most: they take turns.
    let runtime = runtime.max_blocking_threads(shared.log_readers).build()?;
    std::thread::Builder::new().name(format!("core-{index}")).spawn(move || {
        let inbox = Arc::clone(&shared.inboxes[index]);
        let told = Arc::clone(&shared);
        let mut core = Core::new(index, shared, Arc::clone(&inbox), placement, positions);
        core.gather = gather;
        core.awake = Rc::new(Awake::new(stay_awake));
        core.restore_groups();
        let shell = Rc::new(RefCell::new(core));
        let running = || LocalSet::new().block_on(&runtime, run(shell, inbox));
        if catch_unwind(AssertUnwindSafe(running)).is_err() {
            alarm(&told, index);
        }
    })
}

/// A broker without one of its cores would take connections and never answer them.
fn alarm(shared: &Shared, core: usize) {
    tracing::error!(core, "a core ended in a panic: the broker ends with it");
    shared.failed.send_replace(true);
}

/// Tells of a panic in a task, which its runtime would swallow.
struct Watched {
    shared: Arc<Shared>,
    core: usize,
}

impl Watched {
    fn of(core: &Core) -> Self {
        Self { shared: Arc::clone(&core.shared), core: core.index }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            alarm(&self.shared, self.core);
        }
    }
}

fn spawn(shell: &Shell, task: impl Future<Output = ()> + 'static) {
    let watched = Watched::of(&shell.borrow());
    spawn_local(async move {
        let _watched = watched;
        task.await;
    });
}

async fn run(shell: Shell, inbox: Arc<Inbox>) {
    spawn(&shell, end_turns(Rc::clone(&shell)));
    spawn(&shell, tick(Rc::clone(&shell)));
    let awake = Rc::clone(&shell.borrow().awake);
    let waiting = Rc::clone(&shell);
    spawn(&shell, awake.run(move || waiting.borrow().commits.front().map(|it| it.at)));
    let mut events = VecDeque::new();
    let mut taken = Vec::new();
    loop {
        inbox.take(&mut taken).await;
        events.extend(taken.drain(..));
        {
            let mut core = shell.borrow_mut();
            core.refresh_clock();
            core.awake.on_work();
            core.writes_follow = true;
        }
        while let Some(event) = events.pop_front() {
            match event {
                Event::Accepted(accepted) => accept(&shell, accepted),
                other => shell.borrow_mut().on_event(other),
            }
        }
        end_turn(&shell);
        if shell.borrow().is_over() {
            let mut core = shell.borrow_mut();
            core.flush_counters();
            let _ = core.stopping.take().map(|done| done.send(()));
            return;
        }
    }
}

/// Runs after the tasks that were ready when the turn's first packet came: many connections, one
/// commit, one write each.
async fn end_turns(shell: Shell) {
    let turn_end = Arc::clone(&shell.borrow().turn_end);
    loop {
        turn_end.notified().await;
        end_turn(&shell);
        if shell.borrow().is_turn_due {
            // What is left to do is as much again: others first.
            tokio::task::yield_now().await;
        }
    }
}

fn end_turn(shell: &Shell) {
    shell.borrow_mut().end_turn();
    let deferred = std::mem::take(&mut shell.borrow_mut().deferred);
    for one in deferred {
        spawn(shell, wait_for(Rc::clone(shell), one));
    }
}

async fn wait_for(shell: Shell, deferred: Deferred) {
    match deferred {
        Deferred::Claim(id, released) => {
            // A sender that is gone has let go too.
            let _ = released.await;
            shell.borrow_mut().on_claimed(id);
        }
        Deferred::Rest(id, wait) => {
            tokio::time::sleep(wait).await;
            shell.borrow_mut().on_rested(id);
        }
        Deferred::Read(id, reading, filter, number) => {
            let slice = read_log(&shell, reading, filter).await;
            shell.borrow_mut().on_read(id, number, reading, slice);
        }
        Deferred::Seek(seek) => {
            // What was published at QoS 0 just before is on its way to the log.
            tokio::time::sleep(LATE_MAX * 2).await;
            let store = shell.borrow().shared.store.clone();
            let start = seek.start;
            let sought = spawn_blocking(move || find_start(&store, start)).await;
            let found = sought.unwrap_or_else(|panic| Err(ReadError::Io(panic.to_string())));
            shell.borrow_mut().on_sought(seek, found);
        }
        Deferred::GroupRead(id, reading, filter) => {
            let slice = read_log(&shell, reading, filter).await;
            shell.borrow_mut().on_group_read(id, reading, slice);
        }
        Deferred::Late => {
            tokio::time::sleep(LATE_MAX).await;
            shell.borrow_mut().on_late();
        }
        Deferred::LeftToLog(id) => {
            tokio::time::sleep(LATE_MAX * 2).await;
            shell.borrow_mut().on_left_to_log(id);
        }
    }
}

/// Reads a part of the log on a thread of its own.
async fn read_log(
    shell: &Shell,
    reading: Reading,
    filter: Option<TopicFilter>,
) -> Result<Slice, ReadError> {
    let store = shell.borrow().shared.store.clone();
    let Reading { partition, from, .. } = reading;
    let read = spawn_blocking(move || match filter {
        Some(filter) => store.read_matching(partition, &filter, from, READ_LOG_BYTES),
        None => store.read(partition, from, READ_LOG_BYTES),
    });
    read.await.unwrap_or_else(|panic| Err(ReadError::Io(panic.to_string())))
}

async fn tick(shell: Shell) {
    let mut ticks = tokio::time::interval(Duration::from_millis(u64::from(TICK_MS)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shell.borrow_mut().on_tick();
    }
}

fn accept(shell: &Shell, accepted: Accepted) {
    let Accepted { link, peer, door, seat, newcomer, allowance, identity } = accepted;
    let mut core = shell.borrow_mut();
    if core.stopping.is_some() {
        return;
    }
    let socket = match link.bind() {
        Ok(link) => Rc::new(Socket::new(link, seat)),
        Err(error) => return tracing::warn!(%peer, %error, "a new connection cannot be used"),
    };
    let serial = core.shared.next_serial();
    let conn = Conn {
        serial,
        socket: Rc::clone(&socket),
        peer,
        door,
        certified: identity,
        named: None,
        newcomer,
        pace: core.pace_of(peer, allowance),
        out: Vec::new(),
        partial: Vec::new(),
        waits: Held::of(&core.shared.outbound),
        comes: Held::of(&core.shared.inbound),
        taken_ms: core.uptime_ms,
        is_dirty: false,
        heard_ms: core.uptime_ms,
        read_ms: 0,
        until_ms: i64::MAX,
        silence_ms_max: 0,
        phase: Phase::Fresh,
    };
    let key = core.conns.insert(conn);
    let Ok(key) = u32::try_from(key) else {
        core.conns.remove(key);
        return;
    };
    let _watched = Watched::of(&core);
    drop(core);
    let served = Served { shell: Rc::clone(shell), id: ConnId { key, serial }, socket, _watched };
    spawn_local(async move { served.serve().await });
}

/// A connection as its task holds it. There is one of these tasks for each client, also for those
/// that do nothing for hours: what it keeps while it waits counts, and futures keep twice what is
/// handed to them by value.
struct Served {
    shell: Shell,
    id: ConnId,
    socket: Rc<Socket>,
    _watched: Watched,
}

impl Served {
    async fn serve(&self) {
        while self.step().await {}
        self.shell.borrow_mut().on_lost(self.id);
        if self.socket.is_closing.get() {
            // Few do at a time, and this wait takes more than all the rest.
            Box::pin(linger(&self.shell, &self.socket)).await;
        }
    }

    /// Waits until the connection can do something and does it. False when it is over.
    async fn step(&self) -> bool {
        let socket = &*self.socket;
        if socket.is_closing.get() && !socket.is_to_be_written() {
            return false;
        }
        let can = poll_fn(|context| socket.poll_can(context)).await;
        let Ok(can) = can else { return false };
        if can.be_written {
            self.shell.borrow_mut().write_out(self.id);
        }
        !can.be_read || self.read().await
    }

    async fn read(&self) -> bool {
        // Asked before each read: what the last one brought may have changed it.
        while self.socket.may_be_read() {
            let end = {
                let mut core = self.shell.borrow_mut();
                core.refresh_clock();
                core.awake.on_work();
                if core.pause_if_busy(self.id) {
                    return true;
                }
                core.read(self.id)
            };
            match end {
                ReadEnd::Drained => return true,
                ReadEnd::Gone => return false,
                ReadEnd::More => tokio::task::yield_now().await,
            }
        }
        true
    }
}

/// Closing a socket that holds unread bytes would take our last packet from the client.
async fn linger(shell: &Shell, socket: &Socket) {
    let parting = async {
        if !say_last(socket).await || socket.link.end_writing().is_err() {
            return;
        }
        loop {
            // What many are waited for must not take a buffer each.
            let wasted = socket.link.try_waste(&mut shell.borrow_mut().scratch.read);
            let is_over = match wasted {
                Ok(count) => count == 0,
                // A packet of the link itself, or a part of one, is nothing to who drains.
                Err(error) => {
                    !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
                }
            };
            if is_over || poll_fn(|context| socket.link.poll_readable(context)).await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(LINGER_MS), parting).await;
}

/// Hands on what waits. What is answered to bytes that came with a handshake does: nobody has
/// asked yet whether the socket takes any. False when the client is gone.
async fn say_last(socket: &Socket) -> bool {
    while socket.link.has_pending() {
        let is_ready = poll_fn(|context| socket.link.poll_writable(context)).await.is_ok();
        if !is_ready || socket.link.try_flush().is_err() {
            return false;
        }
    }
    true
}

impl Core {
    fn refresh_clock(&mut self) {
        if std::mem::take(&mut self.is_clock_stale) {
            self.now_ms = wall_clock_ms();
        }
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.shared.store.is_busy()
            || self.commits.len() >= COMMITS_WAITING_MAX
            || self.shared.inboxes.iter().any(|inbox| inbox.is_full())
    }

    /// Reads on from those that had to wait, if there is room again.
    pub(crate) fn resume_paused(&mut self) {
        if self.paused.is_empty() || self.is_behind() {
            return;
        }
        let now_ms = self.uptime_ms;
        for id in std::mem::take(&mut self.paused) {
            let Some(conn) = self.conn(id) else { continue };
            if matches!(conn.phase, Phase::Fresh | Phase::Authenticating(_) | Phase::Open(_)) {
                // It could not be heard while it was not read.
                conn.heard_ms = now_ms;
                conn.socket.pause(false);
            }
        }
    }

    /// While the store or a core is behind, publishers wait: nothing more is read from them.
    fn pause_if_busy(&mut self, id: ConnId) -> bool {
        if !self.is_behind() {
            return false;
        }
        if let Some(conn) = self.conn(id) {
            conn.socket.pause(true);
        }
        self.paused.push(id);
        true
    }

    /// The socket's task is over.
    fn on_lost(&mut self, id: ConnId) {
        self.end_session(id, CloseReason::Lost);
        let Some(conn) = self.conn(id) else { return };
        if matches!(conn.phase, Phase::Claiming(_)) {
            // It stays until its claim is settled: others may wait behind it.
            return;
        }
        self.forget(id);
    }

    /// Takes a connection out of the core.
    pub(crate) fn forget(&mut self, id: ConnId) {
        if self.conn(id).is_some() {
            self.conns.remove(id.key as usize);
        }
        if self.stopping.is_some() {
            self.inbox.push(Event::Look);
        }
    }
}
