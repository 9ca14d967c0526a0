//! The small numbers that name things. Never decides which number is free.

use std::fmt;
use std::num::NonZeroU16;

/// The number by which both ends of a connection name one QoS 1 or QoS 2 exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The lowest identifier.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// The highest identifier.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// `None` for zero, which the protocol keeps free.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number on the wire, never zero.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Names one partition of the broker, across all streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// Names a share group of the broker while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

#[cfg(test)]
mod tests {
    use super::PacketId;

    #[test]
    fn zero_names_no_packet() {
        assert_eq!(PacketId::new(0), None);
        assert_eq!(PacketId::new(1), Some(PacketId::MIN));
        assert_eq!(PacketId::new(65535).map(PacketId::get), Some(65535));
    }
}
