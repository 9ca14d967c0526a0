//! What counts as one address where something is counted by address. Never looks a name up.

use std::net::{IpAddr, Ipv6Addr};

/// Of version 6 the network of 64 bits: who has one address there has all.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::network_of;

    #[test]
    fn one_network_of_version_6_is_one_address() {
        for (one, other, is_same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::1", "127.0.0.1", false),
        ] {
            let [a, b] = [one, other].map(|text| text.parse().expect("an address"));
            assert_eq!(network_of(a) == network_of(b), is_same, "{one} {other}");
        }
    }
}
