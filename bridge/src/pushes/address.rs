//! Where a push goes: an address taken apart. Connects nowhere.

/// An `http://` or `https://` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) is_secret: bool,
    /// As it is looked up: without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As the header `Host` has it.
    pub(super) authority: String,
    /// The path with what follows it.
    pub(super) path: String,
}

impl Address {
    /// Where an address leads, without what may be a key.
    pub(super) fn origin(url: &str) -> String {
        let origin = Self::parse(url).map(|Self { is_secret, authority, .. }| {
            format!("{}://{authority}", if is_secret { "https" } else { "http" })
        });
        origin.unwrap_or_default()
    }

    /// `None`: it is none.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (is_secret, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://")?),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[') {
            Some(bare) => bare.split_once(']')?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if port.is_empty() => {
                if is_secret {
                    443
                } else {
                    80
                }
            }
            None => return None,
        };
        let is_sayable = url.chars().all(|c| c.is_ascii_graphic());
        if host.is_empty() || authority.contains('@') || !is_sayable {
            return None;
        }
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
        Some(Self { is_secret, host: host.into(), port, authority: authority.into(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn keys_of_an_address_are_not_told() {
        for (url, expected) in [
            ("https://a.example/key?token=1", "https://a.example"),
            ("http://[::1]:81?key", "http://[::1]:81"),
            ("no address", ""),
        ] {
            assert_eq!(Address::origin(url), expected);
        }
    }

    #[test]
    fn an_address_is_taken_apart() {
        for (url, expected) in [
            ("http://a", Some((false, "a", 80, "a", "/"))),
            ("https://a.example/x?y=1", Some((true, "a.example", 443, "a.example", "/x?y=1"))),
            ("https://a:8443?y", Some((true, "a", 8443, "a:8443", "/?y"))),
            ("http://[::1]:81/p", Some((false, "::1", 81, "[::1]:81", "/p"))),
            ("ftp://a", None),
            ("http://", None),
            ("http://a:b/", None),
            ("http://[::1", None),
            ("http://[::1]x", None),
            ("http://u:p@a/", None),
            ("http://a/b c", None),
        ] {
            let found = Address::parse(url);
            let found = found
                .as_ref()
                .map(|it| (it.is_secret, &*it.host, it.port, &*it.authority, &*it.path));
            assert_eq!(found, expected, "{url}");
        }
    }
}
