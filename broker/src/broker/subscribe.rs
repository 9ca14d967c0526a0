//! What a subscription within the process asks for, and how its session is opened.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Connect, EncodeError, Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue,
    ReasonCode, RetainHandling, Subscribe as SubscribePacket, SubscribeFiltersBuilder,
    SubscribeOptions,
};
use tidewire_proto::qos::Qos;
use tokio::runtime::Handle;

use crate::broker::pipe::{Pipe, VERSION};
use crate::broker::subscription::{Received, Subscription, set_aside};
use crate::core::shared::Shared;
use crate::error::SubscribeError;
use crate::link::IN_PROCESS;

/// Unacknowledged messages on their way to one subscription.
const RECEIVE_MAX: u16 = 256;
/// How names begin that we give ourselves.
const OURS: char = '#';
/// Session expiry of a session that ends with its connection.
const AT_ONCE: u32 = 0;

/// A subscription that is being made: say what it is to be, then await it.
///
/// Made by [`Broker::subscribe`](crate::Broker::subscribe). QoS 1 unless told otherwise; a message
/// is acknowledged when it is handed out; the session ends with the subscription.
#[must_use = "nothing is subscribed until it is awaited"]
pub struct Subscribe<'a> {
    shared: &'a Arc<Shared>,
    runtime: &'a Handle,
    filters: Vec<String>,
    options: SubscribeOptions,
    durable: Option<(String, Duration)>,
    is_manual: bool,
}

impl<'a> Subscribe<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, runtime: &'a Handle, filter: String) -> Self {
        let options = SubscribeOptions {
            retain_handling: RetainHandling::SendIfNew,
            ..SubscribeOptions::with_qos(Qos::AtLeastOnce)
        };
        let filters = vec![filter];
        Self { shared, runtime, filters, options, durable: None, is_manual: false }
    }

    /// Messages of another filter too, in the same order.
    pub fn and(mut self, filter: impl Into<String>) -> Self {
        self.filters.push(filter.into());
        self
    }

    /// The highest QoS that is wanted.
    pub fn qos(mut self, qos: Qos) -> Self {
        self.options.qos = qos;
        self
    }

    /// Not the messages that were kept before we came.
    pub fn without_retained(mut self) -> Self {
        self.options.retain_handling = RetainHandling::DoNotSend;
        self
    }

    /// The RETAIN flag stays as the publisher set it.
    pub fn retain_as_published(mut self) -> Self {
        self.options.retain_as_published = true;
        self
    }

    /// The session has a name and waits for its return this long, also through a restart: what it
    /// missed at QoS 1 and 2 comes then. The name is for this process only: the client id is
    /// `$in-process/NAME`, which nobody on the network can have. It does not begin with `#`.
    pub fn durable(mut self, name: impl Into<String>, expiry: Duration) -> Self {
        self.durable = Some((name.into(), expiry));
        self
    }

    /// A message counts as received when [`acknowledge`](Subscription::acknowledge) says so.
    pub fn manual_acknowledgement(mut self) -> Self {
        self.is_manual = true;
        self
    }

    async fn open(self) -> Result<Subscription, SubscribeError> {
        if let Some((name, _)) = self.durable.as_ref().filter(|(name, _)| name.starts_with(OURS)) {
            return Err(refused(name, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID));
        }
        let stopped = |_| SubscribeError::Stopped;
        let mut pipe = Pipe::open(self.shared, self.runtime).map_err(stopped)?;
        let client_id = self.client_id();
        self.put_connect(&mut pipe, &client_id)?;
        self.put_subscribe(&mut pipe)?;
        pipe.flush().map_err(stopped)?;
        let mut opening = Opening { aside: VecDeque::new(), was_present: false };
        loop {
            let is_open = match pipe.packet().map_err(stopped)? {
                Some(packet) => opening.hear(&packet, &client_id, &self.filters)?,
                None => pipe.turn().await.map(|()| false).map_err(stopped)?,
            };
            if is_open {
                let Opening { aside, was_present } = opening;
                return Ok(Subscription::new(pipe, aside, self.is_manual, was_present));
            }
        }
    }

    fn client_id(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        match &self.durable {
            Some((name, _)) => format!("{IN_PROCESS}{name}"),
            None => format!("{IN_PROCESS}{OURS}{}", COUNT.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn put_connect(&self, pipe: &mut Pipe, client_id: &str) -> Result<(), EncodeError> {
        let expiry_s = self
            .durable
            .as_ref()
            .map_or(AT_ONCE, |(_, expiry)| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX));
        let mut properties = PropertiesBuilder::new();
        properties.push(PropertyId::SessionExpiry, PropertyValue::FourByte(expiry_s))?;
        properties.push(PropertyId::ReceiveMaximum, PropertyValue::TwoByte(RECEIVE_MAX))?;
        let connect = Connect {
            version: VERSION,
            clean_start: self.durable.is_none(),
            keep_alive_s: 0,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: properties.as_properties(),
        };
        pipe.put(&Packet::Connect(connect)).map(|_| ())
    }

    fn put_subscribe(&self, pipe: &mut Pipe) -> Result<(), EncodeError> {
        let mut filters = SubscribeFiltersBuilder::new();
        for filter in &self.filters {
            filters.push(filter, self.options)?;
        }
        let subscribe = SubscribePacket {
            packet_id: PacketId::MIN,
            properties: Properties::EMPTY,
            filters: filters.as_filters(),
        };
        pipe.put(&Packet::Subscribe(subscribe)).map(|_| ())
    }
}

impl fmt::Debug for Subscribe<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { filters, options, durable, is_manual, .. } = self;
        out.debug_struct("Subscribe")
            .field("filters", filters)
            .field("options", options)
            .field("durable", durable)
            .field("is_manual", is_manual)
            .finish_non_exhaustive()
    }
}

impl<'a> IntoFuture for Subscribe<'a> {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// What is known until SUBACK comes. A session that returns gets what it missed before that: not
/// more than its Receive Maximum allows.
struct Opening {
    aside: VecDeque<Received>,
    was_present: bool,
}

impl Opening {
    /// True when SUBACK granted every filter.
    fn hear(
        &mut self,
        packet: &Packet<'_>,
        client_id: &str,
        filters: &[String],
    ) -> Result<bool, SubscribeError> {
        match packet {
            Packet::ConnAck(ack) if ack.reason.is_error() => Err(refused(client_id, ack.reason)),
            Packet::ConnAck(ack) => {
                self.was_present = ack.session_present;
                Ok(false)
            }
            Packet::Publish(publish) => {
                set_aside(&mut self.aside, publish);
                Ok(false)
            }
            Packet::SubAck(ack) => {
                let mut answers = filters.iter().zip(ack.codes);
                match answers.find(|(_, code)| ReasonCode(**code).is_error()) {
                    Some((filter, code)) => Err(refused(filter, ReasonCode(*code))),
                    None => Ok(true),
                }
            }
            Packet::Disconnect(told) => Err(refused(client_id, told.reason)),
            _ => Ok(false),
        }
    }
}

fn refused(what: &str, reason: ReasonCode) -> SubscribeError {
    SubscribeError::Refused { what: what.into(), reason }
}
