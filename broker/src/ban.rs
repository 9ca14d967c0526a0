//! What a ban is: who is meant, how long, why. Never knows which are in force.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidewire_store::rows::ban::BanRow;

use crate::address_range::AddressRange;
use crate::link::Peer;

/// Who is meant by a ban.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BanTarget {
    /// The client of this id, wherever it comes from.
    Client(String),
    /// Whoever comes from these addresses.
    Address(AddressRange),
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
        // Nobody shuts out a part of the program by mistake: it is nowhere.
        let Some(address) = peer.ip() else { return false };
        match self {
            Self::Client(id) => id == client_id,
            Self::Address(range) => range.contains(address),
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
    use super::BanTarget;

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
