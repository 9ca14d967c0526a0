//! Ports that a program keeps over its restarts. Starts nothing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below those that the system hands out by itself: nobody else gets it while it is not bound.
const FIRST: u64 = 12_000;
const COUNT: u64 = 18_000;

/// One that nobody listens at.
#[must_use]
pub fn kept() -> SocketAddr {
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = u16::try_from(FIRST + random % COUNT).expect("below 30,000");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
