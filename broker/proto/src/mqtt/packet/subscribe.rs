//! SUBSCRIBE: filters with options, read in place. Never stores a subscription.

use crate::id::PacketId;
use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::put_properties;
use crate::mqtt::primitive::{Reader, put_text, put_u16};
use crate::mqtt::property::{Properties, PropertyPlace};
use crate::mqtt::version::Version;
use crate::qos::Qos;
use crate::topic::{check_filter, split_share};

const KIND: PacketKind = PacketKind::Subscribe;

/// A client asks for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// SUBACK will carry it.
    pub packet_id: PacketId,
    /// Subscription identifier and user properties.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: SubscribeFilters<'a>,
}

impl<'a> Subscribe<'a> {
    /// The filters and what is wanted of each, in order; each filter is valid, shared or not.
    pub fn filters(&self) -> impl Iterator<Item = (&'a str, SubscribeOptions)> {
        self.filters.iter()
    }

    pub(crate) fn decode(mut body: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        let properties = if version.has_properties() {
            Properties::decode(&mut body, PropertyPlace::Packet(KIND))?
        } else {
            Properties::EMPTY
        };
        let filters = SubscribeFilters::decode(body, version)?;
        Ok(Self { packet_id, properties, filters })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.filters.0.is_empty() {
            return Err(DecodeErrorKind::NoFilters(KIND).into());
        }
        put_u16(self.packet_id.get(), out);
        if version.has_properties() {
            put_properties(self.properties, PropertyPlace::Packet(KIND), out)?;
            out.extend_from_slice(self.filters.0);
            return Ok(());
        }
        self.filters().try_for_each(|(filter, options)| {
            put_text(filter, out)?;
            out.push(options.qos.bits());
            Ok(())
        })
    }
}

/// What is wanted of one subscription. Before MQTT 5 there is only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscribeOptions {
    /// The highest QoS wanted.
    pub qos: Qos,
    /// Not what this client published itself; never with `$share`.
    pub no_local: bool,
    /// Keep the RETAIN flag as the publisher set it.
    pub retain_as_published: bool,
    /// Whether retained messages are wanted now.
    pub retain_handling: RetainHandling,
}

/// When a subscription gets retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// With every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only when the subscription is new.
    SendIfNew = 1,
    /// Not at all.
    DoNotSend = 2,
}

impl SubscribeOptions {
    /// A QoS, and the rest as before MQTT 5.
    #[must_use]
    pub const fn with_qos(qos: Qos) -> Self {
        Self {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }

    /// The byte of MQTT 5.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.qos.bits()
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }

    /// Reads the byte of MQTT 5.
    ///
    /// # Errors
    /// QoS 3, Retain Handling 3, reserved bits.
    pub fn from_bits(bits: u8) -> Result<Self, DecodeError> {
        if bits & 0b1100_0000 != 0 {
            return Err(DecodeErrorKind::SubscribeOptionsReserved.into());
        }
        Ok(Self {
            qos: Qos::from_bits(bits & 0b11).ok_or(DecodeErrorKind::SubscribeQos)?,
            no_local: bits & 0b100 != 0,
            retain_as_published: bits & 0b1000 != 0,
            retain_handling: match bits >> 4 {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(DecodeErrorKind::RetainHandlingReserved.into()),
            },
        })
    }
}

/// The filters of a SUBSCRIBE as a checked view over its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeFilters<'a>(&'a [u8]);

impl<'a> SubscribeFilters<'a> {
    fn decode(body: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut reader = body;
        if reader.is_empty() {
            return Err(DecodeErrorKind::NoFilters(KIND).into());
        }
        while !reader.is_empty() {
            let filter = reader.text()?;
            let bits = reader.u8()?;
            let before_v5_max = Qos::ExactlyOnce.bits() | 1;
            if !version.has_properties() && bits > before_v5_max {
                return Err(DecodeErrorKind::SubscribeOptionsReserved.into());
            }
            check_subscription(filter, SubscribeOptions::from_bits(bits)?)?;
        }
        Ok(Self(body.rest()))
    }

    /// The filters and their options, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, SubscribeOptions)> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            let filter = reader.text().ok()?;
            Some((filter, SubscribeOptions::from_bits(reader.u8().ok()?).ok()?))
        })
    }
}

/// What filter and options say together.
fn check_subscription(filter: &str, options: SubscribeOptions) -> Result<(), DecodeError> {
    check_filter(filter).map_err(DecodeErrorKind::Filter)?;
    let is_shared = matches!(split_share(filter), Ok(Some(_)));
    if options.no_local && is_shared {
        return Err(DecodeErrorKind::NoLocalOnShared.into());
    }
    Ok(())
}

/// Collects filters for a SUBSCRIBE that is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeFiltersBuilder {
    buf: Vec<u8>,
}

impl SubscribeFiltersBuilder {
    /// An empty one; allocates with the first filter.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: Vec::new() }
    }

    /// Adds one subscription behind the others.
    ///
    /// # Errors
    /// When the filter is not valid, or No Local stands with `$share`. Then nothing was added.
    pub fn push(&mut self, filter: &str, options: SubscribeOptions) -> Result<(), EncodeError> {
        check_subscription(filter, options)?;
        put_text(filter, &mut self.buf)?;
        self.buf.push(options.bits());
        Ok(())
    }

    /// What was added so far.
    #[must_use]
    pub fn as_filters(&self) -> SubscribeFilters<'_> {
        SubscribeFilters(&self.buf)
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
    }
}
