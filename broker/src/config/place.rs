//! A host and a port as text. Connects to nothing.

/// `host:port`; an IPv6 address stands in brackets.
pub(super) fn split_place(place: &str) -> Option<(String, u16)> {
    let (host, port) = place.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let is_everywhere = matches!(host, "0.0.0.0" | "::" | "");
    (!is_everywhere && (bare.is_some() || !host.contains(':'))).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::split_place;

    #[test]
    fn a_place_to_connect_to_has_a_host_and_a_port() {
        let place = |text| split_place(text).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(place("broker.example:9092").as_deref(), Some("broker.example 9092"));
        assert_eq!(place("[2001:db8::1]:9092").as_deref(), Some("2001:db8::1 9092"));
        for wrong in ["broker", "broker:0", ":9092", "0.0.0.0:9092", "[::]:9092", "a:b:9092"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
