//! The three delivery promises of MQTT. Never says how they are kept.

/// How often a message may arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// QoS 0: never twice, perhaps not at all.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: always, perhaps twice.
    AtLeastOnce = 1,
    /// QoS 2: always, and never twice.
    ExactlyOnce = 2,
}

impl Qos {
    /// The promise that these bits stand for; `None` for 3 and above.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The bits on the wire: 0, 1 or 2.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::Qos;

    #[test]
    fn bits_go_there_and_back_and_three_is_nothing() {
        for bits in 0..=2 {
            assert_eq!(Qos::from_bits(bits).map(Qos::bits), Some(bits));
        }
        assert_eq!(Qos::from_bits(3), None);
    }
}
