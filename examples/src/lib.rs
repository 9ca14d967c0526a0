//! Small programs that a user of Tidewire would copy: see `src/bin`. This file holds only what
//! each of them does first, reading the broker's address.

use std::env;

/// The first argument as host and port; the broker's default when there is none.
#[must_use]
pub fn broker_from_arguments() -> (String, u16) {
    env::args().nth(1).and_then(|address| parse(&address)).unwrap_or(("127.0.0.1".to_owned(), 1883))
}

fn parse(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(parse("broker.local:1884"), Some(("broker.local".to_owned(), 1884)));
        assert_eq!(parse("broker.local"), None);
        assert_eq!(parse("broker.local:mqtt"), None);
    }
}
