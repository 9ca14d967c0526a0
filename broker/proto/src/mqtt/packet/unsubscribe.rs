//! UNSUBSCRIBE: filters, read in place. Never looks one up.

use crate::id::PacketId;
use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::put_properties;
use crate::mqtt::primitive::{Reader, put_text, put_u16};
use crate::mqtt::property::{Properties, PropertyPlace};
use crate::mqtt::version::Version;
use crate::topic::check_filter;

const KIND: PacketKind = PacketKind::Unsubscribe;

/// A client wants no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// UNSUBACK will carry it.
    pub packet_id: PacketId,
    /// User properties.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: UnsubscribeFilters<'a>,
}

impl<'a> Unsubscribe<'a> {
    /// The filters, in order, each valid.
    pub fn filters(&self) -> impl Iterator<Item = &'a str> {
        self.filters.iter()
    }

    pub(crate) fn decode(mut body: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        let properties = if version.has_properties() {
            Properties::decode(&mut body, PropertyPlace::Packet(KIND))?
        } else {
            Properties::EMPTY
        };
        let filters = UnsubscribeFilters::decode(body)?;
        Ok(Self { packet_id, properties, filters })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.filters.0.is_empty() {
            return Err(DecodeErrorKind::NoFilters(KIND).into());
        }
        put_u16(self.packet_id.get(), out);
        if version.has_properties() {
            put_properties(self.properties, PropertyPlace::Packet(KIND), out)?;
        }
        out.extend_from_slice(self.filters.0);
        Ok(())
    }
}

/// The filters of an UNSUBSCRIBE as a checked view over its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnsubscribeFilters<'a>(&'a [u8]);

impl<'a> UnsubscribeFilters<'a> {
    fn decode(body: Reader<'a>) -> Result<Self, DecodeError> {
        let mut reader = body;
        if reader.is_empty() {
            return Err(DecodeErrorKind::NoFilters(KIND).into());
        }
        while !reader.is_empty() {
            check_filter(reader.text()?).map_err(DecodeErrorKind::Filter)?;
        }
        Ok(Self(body.rest()))
    }

    /// The filters, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || reader.text().ok())
    }
}

/// Collects filters for an UNSUBSCRIBE that is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsubscribeFiltersBuilder {
    buf: Vec<u8>,
}

impl UnsubscribeFiltersBuilder {
    /// An empty one; allocates with the first filter.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: Vec::new() }
    }

    /// Adds one filter behind the others.
    ///
    /// # Errors
    /// When the filter is not valid. Then nothing was added.
    pub fn push(&mut self, filter: &str) -> Result<(), EncodeError> {
        check_filter(filter).map_err(DecodeErrorKind::Filter)?;
        put_text(filter, &mut self.buf)
    }

    /// What was added so far.
    #[must_use]
    pub fn as_filters(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters(&self.buf)
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
    }
}
