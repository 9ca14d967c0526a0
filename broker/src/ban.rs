//! Who may not connect: what a ban is, and all that are in force. Never closes a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Bound, ControlFlow};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::AHashMap;
use parking_lot::RwLock;
use tidewire_store::rows::ban::BanRow;
use tidewire_store::{Commit, ReadError, Store, Table, TableChange};

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
    fn key(&self) -> Box<[u8]> {
        let key = match self {
            Self::Client(id) => format!("{}{id}", Self::CLIENT),
            Self::Address(range) => format!("{}{range}", Self::ADDRESS),
        };
        key.into_bytes().into()
    }

    fn of_key(key: &[u8]) -> Option<Self> {
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

    fn row(&self) -> BanRow {
        BanRow {
            since_ms: to_ms(self.since),
            until_ms: self.until.map(to_ms),
            reason: self.reason.clone(),
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

/// All bans in force.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    /// Nearly always there is none: then nobody takes the lock.
    some: AtomicBool,
    listed: RwLock<Listed>,
}

#[derive(Debug, Default)]
struct Listed {
    clients: AHashMap<String, BanRow>,
    ranges: AHashMap<AddressRange, BanRow>,
}

impl Bans {
    /// What the store holds.
    pub(crate) fn load(&self, store: &Store) -> Result<(), ReadError> {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        store.scan(Table::Bans, from, to, &mut |key, row| {
            match (BanTarget::of_key(key), BanRow::decode(row)) {
                (Some(target), Ok(row)) => self.insert(target, row),
                _ => tracing::error!("a row of the bans is damaged"),
            }
            ControlFlow::Continue(())
        })
    }

    /// Puts a ban in force; the answer is the change that makes it durable.
    pub(crate) fn add(&self, ban: &Ban) -> TableChange {
        let row = ban.row();
        let change = TableChange::new(Table::Bans, ban.target.key(), Some(row.encode()));
        self.insert(ban.target.clone(), row);
        change
    }

    fn insert(&self, target: BanTarget, row: BanRow) {
        let listed = &mut *self.listed.write();
        match target {
            BanTarget::Client(id) => listed.clients.insert(id, row),
            BanTarget::Address(range) => listed.ranges.insert(range, row),
        };
        self.some.store(true, Ordering::Release);
    }

    /// Lifts a ban; `None` when there is none.
    pub(crate) fn remove(&self, target: &BanTarget) -> Option<TableChange> {
        let listed = &mut *self.listed.write();
        let removed = match target {
            BanTarget::Client(id) => listed.clients.remove(id),
            BanTarget::Address(range) => listed.ranges.remove(range),
        };
        let is_empty = listed.clients.is_empty() && listed.ranges.is_empty();
        self.some.store(!is_empty, Ordering::Release);
        removed.map(|_| TableChange::new(Table::Bans, target.key(), None))
    }

    /// Whether this client may not connect.
    pub(crate) fn forbid(&self, client_id: &str, peer: Peer, now_ms: i64) -> bool {
        let Peer::Net(address) = peer else { return false };
        if !self.some.load(Ordering::Acquire) {
            return false;
        }
        let in_force = |row: &BanRow| row.until_ms.is_none_or(|until| until > now_ms);
        let listed = self.listed.read();
        listed.clients.get(client_id).is_some_and(in_force)
            || listed
                .ranges
                .iter()
                .any(|(range, row)| in_force(row) && range.contains(address.ip()))
    }

    /// All of them, those that are over left out.
    pub(crate) fn list(&self, now_ms: i64) -> Vec<Ban> {
        let listed = self.listed.read();
        let clients = listed.clients.iter().map(|(id, row)| (BanTarget::Client(id.clone()), row));
        let ranges = listed.ranges.iter().map(|(range, row)| (BanTarget::Address(*range), row));
        clients
            .chain(ranges)
            .filter(|(_, row)| row.until_ms.is_none_or(|until| until > now_ms))
            .map(|(target, row)| Ban {
                target,
                since: of_ms(row.since_ms),
                until: row.until_ms.map(of_ms),
                reason: row.reason.clone(),
            })
            .collect()
    }

    /// Forgets those that are over.
    pub(crate) fn sweep(&self, store: &Store, now_ms: i64) {
        if !self.some.load(Ordering::Acquire) {
            return;
        }
        let is_over = |row: &BanRow| row.until_ms.is_some_and(|until| until <= now_ms);
        let over: Vec<BanTarget> = {
            let listed = self.listed.read();
            let clients = listed.clients.iter().filter(|(_, row)| is_over(row));
            let ranges = listed.ranges.iter().filter(|(_, row)| is_over(row));
            let clients = clients.map(|(id, _)| BanTarget::Client(id.clone()));
            clients.chain(ranges.map(|(range, _)| BanTarget::Address(*range))).collect()
        };
        let changes: Vec<_> = over.iter().filter_map(|target| self.remove(target)).collect();
        if !changes.is_empty() {
            tracing::info!(count = changes.len(), "bans are over");
            store.submit(Commit { appends: Vec::new(), changes }, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AddressRange, Ban, BanTarget, Bans};
    use crate::link::Peer;

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

    #[test]
    fn a_ban_holds_until_it_is_over_or_lifted() {
        let bans = Bans::default();
        let peer = Peer::Net("10.7.1.1:5000".parse().unwrap());
        assert!(!bans.forbid("esp", peer, 0));
        let ban = Ban::client("esp").during(Duration::from_secs(60));
        let now_ms = super::to_ms(ban.since);
        bans.add(&ban);
        bans.add(&Ban::addresses("10.7.0.0/16".parse().unwrap()).because("test"));
        assert!(bans.forbid("esp", Peer::Net("1.1.1.1:1".parse().unwrap()), now_ms));
        assert!(bans.forbid("other", peer, now_ms));
        assert!(!bans.forbid("esp", Peer::InProcess, now_ms));
        assert_eq!(bans.list(now_ms).len(), 2);
        let later_ms = now_ms + 60_000;
        assert!(!bans.forbid("esp", Peer::Net("1.1.1.1:1".parse().unwrap()), later_ms));
        assert_eq!(bans.list(later_ms).len(), 1);
        assert!(bans.remove(&BanTarget::Address("10.7.0.0/16".parse().unwrap())).is_some());
        assert!(bans.remove(&BanTarget::Client("nobody".into())).is_none());
        assert!(!bans.forbid("other", peer, now_ms));
    }
}
