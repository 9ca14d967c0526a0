//! A range of addresses, as people write it. Never looks a name up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address, or all that begin with the same bits: `10.1.2.3`, `10.1.0.0/16`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address or a range of them, such as 10.1.2.3 or 10.1.0.0/16")]
pub struct AddressRangeError;

/// How many bits of version 6 stand before an address of version 4.
const MAPPED_BITS: u8 = 96;

impl AddressRange {
    /// Whether the address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == Some(self.address)
    }
}

/// The address with all but its first bits cleared; `None` when it has fewer.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let cleared = 32_u32.checked_sub(bits.into())?;
            let mask = u32::MAX.checked_shl(cleared).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let cleared = 128_u32.checked_sub(bits.into())?;
            let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
            Some(Ipv6Addr::from_bits(address.to_bits() & mask).into())
        }
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let Some((address, bits)) = text.split_once('/') else {
            let address: IpAddr = text.parse().map_err(|_| AddressRangeError)?;
            return Ok(address.into());
        };
        let address: IpAddr = address.parse().map_err(|_| AddressRangeError)?;
        let bits: u8 = bits.parse().map_err(|_| AddressRangeError)?;
        let (address, bits) = match address.to_canonical() {
            // Who comes by version 4 is known by that address, however it is written.
            v4 @ IpAddr::V4(_) if address.is_ipv6() => {
                (v4, bits.checked_sub(MAPPED_BITS).ok_or(AddressRangeError)?)
            }
            _ => (address, bits),
        };
        let address = masked(address, bits).ok_or(AddressRangeError)?;
        Ok(Self { address, bits })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::from(self.address) {
            return self.address.fmt(out);
        }
        write!(out, "{}/{}", self.address, self.bits)
    }
}

impl TryFrom<String> for AddressRange {
    type Error = AddressRangeError;

    fn try_from(text: String) -> Result<Self, AddressRangeError> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::AddressRange;

    #[track_caller]
    fn check(range: &str, inside: &[&str], outside: &[&str]) {
        let range: AddressRange = range.parse().expect("a range");
        for address in inside {
            assert!(range.contains(address.parse().expect("an address")), "{range} {address}");
        }
        for address in outside {
            assert!(!range.contains(address.parse().expect("an address")), "{range} {address}");
        }
    }

    #[test]
    fn a_range_holds_the_addresses_that_begin_with_its_bits() {
        check("10.1.2.3", &["10.1.2.3", "::ffff:10.1.2.3"], &["10.1.2.4", "::1"]);
        check("10.1.0.0/16", &["10.1.255.1"], &["10.2.0.1"]);
        check("10.1.2.3/8", &["10.9.9.9"], &["11.0.0.0"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("fd00::/8", &["fd12::1"], &["fe80::1", "10.0.0.1"]);
        check("::ffff:10.1.2.0/120", &["10.1.2.3", "::ffff:10.1.2.9"], &["10.1.3.1", "::1"]);
        check("::/0", &["::1"], &["1.2.3.4"]);
        assert_eq!("::ffff:10.1.2.3/120".parse(), "10.1.2.0/24".parse::<AddressRange>());
        for wrong in [
            "::ffff:10.0.0.0/95",
            "::ffff:10.0.0.0/129",
            "",
            "10.1.2",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "a/8",
            "10.0.0.0/",
        ] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }
}
