//! A connection and the session it carries, as a core holds them.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashSet;
use tidewire_proto::access::Vouched;
use tidewire_proto::id::{GroupId, PacketId};
use tidewire_proto::mqtt::Version;
use tidewire_proto::record::Batch;
use tidewire_proto::replay::Start;
use tidewire_proto::routing::grant::{Grant, SessionKey, Target};
use tidewire_proto::scram::{Exchange, Method};
use tidewire_proto::session::cursor::{Cursor, Positions};
use tidewire_proto::session::inbound::Inbound;
use tidewire_proto::session::outbound_alias::OutboundAliases;
use tidewire_proto::session::subscription::Subscriptions;
use tidewire_proto::session::window::Window;
use tidewire_store::rows::will::Leaver;
use tokio::sync::oneshot;

use crate::backlog::Held;
use crate::core::denial::Hearing;
use crate::core::granted::Granted;
use crate::core::socket::Socket;
use crate::high_water::Present;
use crate::link::{Door, Peer};
use crate::newcomers::Newcomer;
use crate::pace::Pace;
use crate::payer::{Payer, Payers};
use crate::subscribed::Count;
use crate::system_topics::desk::Edition;

/// A connection of this core; its serial number guards against a key that was used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnId {
    pub(crate) key: u32,
    pub(crate) serial: u64,
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) serial: u64,
    pub(crate) socket: Rc<Socket>,
    pub(crate) peer: Peer,
    pub(crate) door: Door,
    /// Who its certificate says it is, also where it shows something else besides.
    pub(crate) certified: Option<Box<str>>,
    /// Who it says it is, until it is in.
    pub(crate) named: Option<Box<Named>>,
    /// Held until the client is in.
    pub(crate) newcomer: Option<Box<Newcomer>>,
    /// How fast it may publish; `None`: as fast as it can.
    pub(crate) pace: Option<Box<Pace>>,
    /// Bytes for the client that the socket has not taken.
    pub(crate) out: Vec<u8>,
    /// Bytes from the client that are not yet a whole packet.
    pub(crate) partial: Vec<u8>,
    /// How much of the two is counted among that of all clients.
    pub(crate) waits: Held,
    pub(crate) comes: Held,
    /// When the socket last took something, or had nothing to take, in milliseconds of the core's
    /// uptime.
    pub(crate) taken_ms: i64,
    pub(crate) is_dirty: bool,
    /// When the client was last heard, in milliseconds of the core's uptime.
    pub(crate) heard_ms: i64,
    /// When something of it was last read, by the wall clock.
    pub(crate) read_ms: i64,
    /// When its time is over by what was said of it, in milliseconds of the Unix epoch.
    pub(crate) until_ms: i64,
    /// Silence after which the connection is closed; 0: never.
    pub(crate) silence_ms_max: i64,
    pub(crate) phase: Phase,
}

/// Who a client says it is.
pub(crate) struct Named {
    pub(crate) client_id: Box<str>,
    pub(crate) user: Option<Box<str>>,
    /// The log says already why it is not let in.
    pub(crate) is_told: bool,
}

/// So much of it is remembered: strangers are not to fill memory and log with it.
const NAMED_BYTES_MAX: usize = 128;

impl Named {
    /// The beginning of what it says.
    pub(crate) fn of(client_id: &str, user: Option<&str>) -> Self {
        let start = |text: &str| text[..text.floor_char_boundary(NAMED_BYTES_MAX)].into();
        Self { client_id: start(client_id), user: user.map(start), is_told: false }
    }
}

/// Where a connection stands.
pub(crate) enum Phase {
    /// CONNECT is awaited.
    Fresh,
    /// CONNECT came; the client shows who it is.
    Authenticating(Box<Login>),
    /// CONNECT came; its password is being checked.
    Checking(Box<Claim>),
    /// The client id is claimed; its former connection is letting go, or rows are being written.
    Claiming(Box<Claim>),
    /// The session is taken up; CONNACK leaves when its rows are durable.
    Open(Box<Open>),
    /// Only what is in `out` is still sent.
    Closing,
}

/// A CONNECT that waits for a proof.
pub(crate) struct Login {
    pub(crate) claim: Claim,
    pub(crate) proof: Proof,
}

/// How far an authentication is.
pub(crate) enum Proof {
    /// The client's first message is awaited.
    Awaited,
    /// The answer to our challenge is awaited.
    Challenged(Box<Exchange>),
}

/// The Authentication Method that MQTT clients name.
pub(crate) const METHOD: &str = Method::Sha256.word();
/// How a client has shown who it is, if its certificate does.
pub(crate) const CERTIFICATE: &str = "certificate";

/// Who a client has shown to be.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Of no characters: it may come, and nobody said who it is. Then it is as anonymous as who
    /// shows nothing; see [`Identity::named`].
    pub(crate) user: Box<str>,
    /// The Authentication Method by which it has, or `CERTIFICATE`, or who was asked.
    pub(crate) method: &'static str,
    /// What who vouches for it says besides its name.
    pub(crate) vouched: Option<Arc<Vouched>>,
    /// Until when its connection may last, in milliseconds of the Unix epoch.
    pub(crate) until_ms: Option<i64>,
}

impl Identity {
    /// Of whom no more is said than the name.
    pub(crate) fn plain(user: Box<str>, method: &'static str) -> Self {
        Self { user, method, vouched: None, until_ms: None }
    }

    /// The user, if it is one: those without a name are not all the same one.
    pub(crate) fn named(&self) -> Option<&str> {
        Some(&*self.user).filter(|user| !user.is_empty())
    }
}

/// A CONNECT that waits for its session.
pub(crate) struct Claim {
    pub(crate) client_id: Arc<str>,
    pub(crate) version: Version,
    pub(crate) clean_start: bool,
    pub(crate) terms: Terms,
    /// Who it says it is.
    pub(crate) user: Option<Box<str>>,
    pub(crate) will: Option<Box<Will>>,
    /// `None`: it did not say who it is.
    pub(crate) identity: Option<Identity>,
    /// Held while its password is being checked: without it nobody waits for the answer.
    pub(crate) asker: Option<Arc<()>>,
    /// Others that claimed the client id meanwhile and wait for us to let go.
    pub(crate) releases: Vec<oneshot::Sender<()>>,
    /// The socket was lost meanwhile.
    pub(crate) is_abandoned: bool,
}

impl Claim {
    /// The user that it has shown to be.
    pub(crate) fn named(&self) -> Option<&str> {
        self.identity.as_ref().and_then(Identity::named)
    }
}

/// What the client was told that it may do; a reload takes nothing back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// Messages that may be on their way to us at once.
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: u32,
    /// Topic aliases that it may use.
    pub(crate) alias_max: u16,
}

/// What CONNECT agreed on.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) expiry_s: u32,
    pub(crate) offer: Offer,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) keep_alive_s: u16,
    /// A session of before was not to be taken up.
    pub(crate) clean_start: bool,
    /// The client wanted a longer one.
    pub(crate) is_expiry_cut: bool,
    /// The client wanted a longer one, or none.
    pub(crate) is_keep_alive_cut: bool,
    /// Topic aliases that the client takes.
    pub(crate) alias_max: u16,
    /// Where it may have answers sent to, if it asked.
    pub(crate) response_topic: Option<Box<str>>,
    /// The client wants to be told what a reason code alone does not say.
    pub(crate) wants_reasons: bool,
    /// The server chose the client id.
    pub(crate) is_assigned: bool,
    /// The last word of an enhanced authentication, which CONNACK carries.
    pub(crate) authentication: Option<Box<str>>,
}

impl Terms {
    /// What may be said to a client that speaks this version.
    pub(crate) fn hearing(&self, version: Version) -> Hearing {
        let wants_words = self.wants_reasons && version == Version::V5;
        Hearing { bytes_max: self.packet_bytes_max, wants_words }
    }
}

/// A message that the client left for the case that it is lost.
pub(crate) struct Will {
    /// How long it waits for the client to come back, in seconds.
    pub(crate) delay_s: u32,
    /// The user whose it is, once that is known.
    pub(crate) user: Option<Box<str>>,
    /// What rules ask for besides, once that is known; `None`: not known, or of this process.
    pub(crate) left_by: Option<Arc<Leaver>>,
    /// As a batch of one record.
    pub(crate) message: Batch,
}

/// A connected session.
pub(crate) struct Open {
    pub(crate) client_id: Arc<str>,
    pub(crate) version: Version,
    /// When it was taken up, in milliseconds of the Unix epoch.
    pub(crate) since_ms: i64,
    pub(crate) terms: Terms,
    pub(crate) will: Option<Box<Will>>,
    /// `None`: it did not say who it is.
    pub(crate) identity: Option<Identity>,
    /// What the rules let it do; `None`: everything.
    pub(crate) granted: Option<Box<Granted>>,
    /// Topic aliases that the client takes, if any.
    pub(crate) aliases: Option<OutboundAliases>,
    /// It is authenticating anew.
    pub(crate) proof: Option<Proof>,
    pub(crate) inbound: Inbound,
    pub(crate) window: Window,
    pub(crate) cursor: Cursor,
    pub(crate) subscriptions: Subscriptions,
    /// Exchanges of an earlier connection that are sent again first.
    pub(crate) resends: VecDeque<PacketId>,
    /// Retained messages still to be sent.
    pub(crate) feeds: VecDeque<RetainedFeed>,
    /// The share groups of its shared subscriptions, by filter.
    pub(crate) shares: BTreeMap<Box<str>, GroupId>,
    /// Those that it unsubscribed from, while their rows may be there.
    pub(crate) parting: BTreeMap<Box<str>, GroupId>,
    /// SUBSCRIBEs that wait for something outside this core.
    pub(crate) joining: Vec<Joining>,
    pub(crate) last_token: u32,
    /// Subscriptions that begin in the past and are not answered yet.
    pub(crate) seeking: usize,
    /// Those that did in this minute of the core's uptime.
    pub(crate) replays: (i64, u32),
    /// The last read of the log: what an earlier one brings is no longer wanted.
    pub(crate) last_read: u64,
    /// What comes from the log and not as it is published.
    pub(crate) left: LeftToLog,
    /// Share groups whose message found no room.
    pub(crate) stalled: Vec<GroupId>,
    /// Packets that leave when the session's rows are durable.
    pub(crate) held: Vec<u8>,
    /// CONNACK is on its way, so that other packets may follow it.
    pub(crate) is_announced: bool,
    /// Rows differ from what was last handed to the store.
    pub(crate) is_changed: bool,
    /// How often the positions of its core had moved when its row was written with them; `None`: it
    /// was written with others.
    pub(crate) written_at: Option<u64>,
    /// The client asked for the end of the session with the end of the connection.
    pub(crate) ends_at_once: bool,
    /// Its CONNECT was refused with all that it changes: the rows of before stay.
    pub(crate) leaves_rows: bool,
    /// The client took its leave: its will is forgotten.
    pub(crate) drops_will: bool,
    /// The end of this turn looks whether more can be sent.
    pub(crate) is_hungry: bool,
    /// Its rows go into the commit of this turn.
    pub(crate) is_urgent: bool,
    /// Its rows go into the commit of the next tick.
    pub(crate) is_listed: bool,
    /// Among the clients that are connected, as long as it is here.
    pub(crate) _counted: Option<Present>,
}

impl Open {
    /// Whether the session outlives its connection.
    pub(crate) fn is_durable(&self) -> bool {
        self.terms.expiry_s > 0
    }

    /// How many filters it has subscribed to.
    pub(crate) fn subscription_count(&self) -> Count {
        Count { all: self.subscriptions.len() as u64, shared: self.shares.len() as u64 }
    }

    /// Whether it went with its core, whose positions have moved so often, to where its row does
    /// not say that it is.
    pub(crate) fn has_moved(&self, moves: u64) -> bool {
        self.cursor.is_live() && self.written_at != Some(moves)
    }

    /// The user that it has shown to be.
    pub(crate) fn user(&self) -> Option<Box<str>> {
        self.identity.as_ref().and_then(Identity::named).map(Into::into)
    }

    /// Whose part it takes of what is there for all.
    pub(crate) fn payer(&self, payers: &Payers, peer: Peer) -> Payer {
        payers.of(self.identity.as_ref().and_then(Identity::named), peer)
    }

    /// What may be said to its client.
    pub(crate) fn hearing(&self) -> Hearing {
        self.terms.hearing(self.version)
    }

    /// What its subscription in a share group grants.
    pub(crate) fn shared_target(&self, group: GroupId, session: SessionKey) -> Option<Target> {
        let (filter, _) = self.shares.iter().find(|(_, known)| **known == group)?;
        let subscription = self.subscriptions.get(filter)?;
        Some(Target::new(session, subscription.grant))
    }

    /// Retained messages to be sent. A filter has one feed at a time: asked for again, it begins
    /// anew; unsubscribed meanwhile, it has none.
    pub(crate) fn take_feeds(&mut self, feeds: Vec<RetainedFeed>) {
        let mut asked: AHashSet<Box<str>> = feeds.iter().map(|feed| feed.filter.clone()).collect();
        self.feeds.retain(|old| !asked.contains(&old.filter));
        // Of one that was asked for twice, the last counts.
        let newest = feeds.into_iter().rev().filter(|feed| asked.remove(&feed.filter));
        let mut newest: Vec<_> =
            newest.filter(|feed| self.subscriptions.contains(&feed.filter)).collect();
        newest.reverse();
        self.feeds.extend(newest);
    }
}

/// A subscription whose retained messages are being sent.
pub(crate) struct RetainedFeed {
    pub(crate) filter: Box<str>,
    pub(crate) grant: Grant,
    /// What lies from here on reaches the session as live messages.
    pub(crate) since: Positions,
    /// The last topic that was looked at.
    pub(crate) after: Option<Box<[u8]>>,
    /// Or where to go on, if the walk was interrupted.
    pub(crate) from: Option<Box<[u8]>>,
    /// Behind all of them: what the broker says of itself, and from where on.
    pub(crate) edition: Option<(Arc<Edition>, usize)>,
}

/// A SUBSCRIBE that is answered when others have done their part.
pub(crate) struct Joining {
    /// Which one.
    pub(crate) token: u32,
    /// How many answers are missing.
    pub(crate) left: usize,
    pub(crate) suback: Suback,
    /// Shared subscriptions that the session did not have before.
    pub(crate) fresh: Vec<Box<str>>,
}

/// What a SUBSCRIBE leads to.
pub(crate) struct Made {
    pub(crate) sub_id: u32,
    pub(crate) suback: Suback,
    /// Answers that it has to wait for: of share groups, and of beginnings in the past.
    pub(crate) joins: usize,
    pub(crate) token: u32,
    /// Shared subscriptions that are new to the session.
    pub(crate) fresh: Vec<Box<str>>,
}

/// Live messages at QoS 0 that are to come from the log, because a replay is there first.
#[derive(Default)]
pub(crate) struct LeftToLog {
    /// How many were not read yet.
    pub(crate) count: u64,
    /// Where its core was when the last replay began.
    pub(crate) since: Positions,
    /// When that was.
    pub(crate) since_ms: i64,
    /// How long the end of the replay waits for them, in milliseconds since the start.
    pub(crate) until_ms: Option<i64>,
    /// It is looked again soon.
    pub(crate) is_awaited: bool,
}

/// The answer to a SUBSCRIBE, and what follows it.
#[derive(Default)]
pub(crate) struct Suback {
    pub(crate) bytes: Vec<u8>,
    /// Retained messages.
    pub(crate) feeds: Vec<RetainedFeed>,
    /// Subscriptions that begin in the past.
    pub(crate) replays: usize,
}

/// A beginning that is being looked up.
pub(crate) struct Seek {
    pub(crate) conn: ConnId,
    pub(crate) filter: Box<str>,
    pub(crate) start: Start,
    /// The SUBSCRIBE that waits for it.
    pub(crate) token: u32,
}

#[cfg(test)]
mod tests {
    use super::{Conn, NAMED_BYTES_MAX, Named, Open};

    /// What takes a byte more has the next size of the allocator: for a session 896, for the slab
    /// of connections any.
    #[test]
    fn a_client_that_does_nothing_is_small() {
        assert!(size_of::<Open>() <= 768, "{}", size_of::<Open>());
        assert!(size_of::<Conn>() <= 256, "{}", size_of::<Conn>());
    }

    #[test]
    fn of_a_stranger_only_the_beginning_is_remembered() {
        let long = format!("a{}", "é".repeat(40_000));
        let Named { client_id, user, .. } = Named::of(&long, Some(&long));
        assert_eq!(client_id.len(), NAMED_BYTES_MAX - 1);
        assert!(long.starts_with(&*client_id) && user.as_ref() == Some(&client_id));
        assert_eq!(&*Named::of("short", None).client_id, "short");
    }
}
