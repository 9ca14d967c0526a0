//! A range of addresses, as a rule names it. Never looks a name up.

use std::net::IpAddr;

/// Bits before an address of version 4 that is written as one of version 6.
const MAPPED_BITS: u32 = 96;

/// Addresses whose first bits are those of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    bits: u128,
    length: u32,
    is_v6: bool,
}

impl Network {
    /// `10.0.0.0/8`, or one address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let said: IpAddr = address.parse().ok()?;
        // Clients are compared by their plain addresses, however they came.
        let address = said.to_canonical();
        let (bits, is_v6, longest) = bits_of(address);
        let length = match length {
            // Of an address of version 4 within one of version 6, the last 32 bits are it.
            Some(length) if said != address => length.checked_sub(MAPPED_BITS)?,
            Some(length) => length,
            None => longest,
        };
        (length <= longest).then(|| Self { bits: cut(bits, length), length, is_v6 })
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v6, _) = bits_of(address.to_canonical());
        is_v6 == self.is_v6 && cut(bits, self.length) == self.bits
    }
}

/// The address at the front of a number.
fn bits_of(address: IpAddr) -> (u128, bool, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, false, 32),
        IpAddr::V6(v6) => (v6.to_bits(), true, 128),
    }
}

fn cut(bits: u128, length: u32) -> u128 {
    match length {
        0 => 0,
        length => bits & (u128::MAX << (128 - length.min(128))),
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[track_caller]
    fn check(range: &str, address: &str, expected: bool) {
        let network = Network::parse(range).expect("a range");
        assert_eq!(network.contains(address.parse().expect("an address")), expected, "{range}");
    }

    #[test]
    fn an_address_is_in_a_range_by_its_first_bits() {
        check("10.0.0.0/8", "10.255.1.2", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.1.2.3/8", "10.9.9.9", true);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("::ffff:192.0.2.0/120", "192.0.2.9", true);
        check("::ffff:192.0.2.0/120", "::ffff:192.0.2.9", true);
        check("::ffff:192.0.2.0/120", "192.0.3.9", false);
        check("::ffff:192.0.2.1", "192.0.2.1", true);
        check("::ffff:0:0/96", "198.51.100.7", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        for wrong in [
            "10.0.0.0/33",
            "::ffff:10.0.0.0/129",
            "::ffff:10.0.0.0/95",
            "10.0.0/8",
            "::1/129",
            "",
            "host",
        ] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
