//! What a ban is: who is meant, how long, why. Never knows which are in force.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidewire_store::rows::ban::BanRow;

use crate::link::Peer;

/// Who is meant by a ban.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BanTarget {
    /// The client of this id, wherever it comes from.
    Client(String),
    /// Whoever comes from these addresses.
    Address(AddressRange),
}

/// An address, or all that begin with the same bits: `10.1.2.3`, `10.1.0.0/16`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address or a range of them, such as 10.1.2.3 or 10.1.0.0/16")]
pub struct AddressRangeError;

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
        let bits = bits.parse().map_err(|_| AddressRangeError)?;
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

impl fmt::Display for BanTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => write!(out, "client {id}"),
            Self::Address(range) => write!(out, "address {range}"),
        }
    }
}

impl BanTarget {
    const CLIENT: &str = "client:";
    const ADDRESS: &str = "address:";

    /// The key of its row.
    pub(crate) fn key(&self) -> Box<[u8]> {
        let key = match self {
            Self::Client(id) => format!("{}{id}", Self::CLIENT),
            Self::Address(range) => format!("{}{range}", Self::ADDRESS),
        };
        key.into_bytes().into()
    }

    pub(crate) fn of_key(key: &[u8]) -> Option<Self> {
        let key = std::str::from_utf8(key).ok()?;
        match key.strip_prefix(Self::CLIENT) {
            Some(id) => Some(Self::Client(id.into())),
            None => Some(Self::Address(key.strip_prefix(Self::ADDRESS)?.parse().ok()?)),
        }
    }

    /// Whether that client is meant.
    pub(crate) fn means(&self, client_id: &str, peer: Peer) -> bool {
        match (self, peer) {
            // Nobody shuts out a part of the program by mistake.
            (_, Peer::InProcess) => false,
            (Self::Client(id), Peer::Net(_)) => id == client_id,
            (Self::Address(range), Peer::Net(address)) => range.contains(address.ip()),
        }
    }
}

/// A ban: who, how long, why.
///
/// ```
/// use std::time::Duration;
/// use tidewire::Ban;
///
/// let loud = Ban::client("esp-12").during(Duration::from_secs(600)).because("too loud");
/// let network = Ban::addresses("10.7.0.0/16".parse()?);
/// assert_eq!(network.target.to_string(), "address 10.7.0.0/16");
/// # Ok::<(), tidewire::AddressRangeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub target: BanTarget,
    /// When it began.
    pub since: SystemTime,
    /// When it ends; `None`: when it is lifted.
    pub until: Option<SystemTime>,
    /// Why, for people.
    pub reason: String,
}

impl Ban {
    /// Of one client id, until it is lifted.
    #[must_use]
    pub fn client(id: impl Into<String>) -> Self {
        Self::of(BanTarget::Client(id.into()))
    }

    /// Of an address or a range of them, until it is lifted.
    #[must_use]
    pub fn addresses(range: AddressRange) -> Self {
        Self::of(BanTarget::Address(range))
    }

    fn of(target: BanTarget) -> Self {
        Self { target, since: SystemTime::now(), until: None, reason: String::new() }
    }

    /// Ends by itself after this time.
    #[must_use]
    pub fn during(self, time: Duration) -> Self {
        Self { until: self.since.checked_add(time), ..self }
    }

    /// Why, for people.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }

    pub(crate) fn row(&self) -> BanRow {
        BanRow {
            since_ms: to_ms(self.since),
            until_ms: self.until.map(to_ms),
            reason: self.reason.clone(),
        }
    }

    pub(crate) fn of_row(target: BanTarget, row: &BanRow) -> Self {
        Self {
            target,
            since: of_ms(row.since_ms),
            until: row.until_ms.map(of_ms),
            reason: row.reason.clone(),
        }
    }
}

fn to_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn of_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// An order to end connections.
#[derive(Debug)]
pub(crate) struct Expulsion {
    pub(crate) target: BanTarget,
    /// What MQTT 5 clients are told.
    pub(crate) words: String,
}

#[cfg(test)]
mod tests {
    use super::{AddressRange, BanTarget};

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
        check("::/0", &["::1"], &["1.2.3.4"]);
        for wrong in ["", "10.1.2", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "a/8", "10.0.0.0/"] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_comes_back_from_its_key() {
        for target in [
            BanTarget::Client("a:b".into()),
            BanTarget::Address("10.0.0.0/8".parse().unwrap()),
            BanTarget::Address("::1".parse().unwrap()),
        ] {
            assert_eq!(BanTarget::of_key(&target.key()), Some(target));
        }
    }
}
