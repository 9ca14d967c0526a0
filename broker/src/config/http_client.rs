//! What is asked over HTTP: where, and how long. Asks nothing.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rules::Breach;

/// An address that is asked over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// `None`: it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '#');
        // A password in an address is shown wherever the address is.
        let is_one = !host.is_empty() && !host.contains('@') && text.chars().all(is_plain);
        is_one.then(|| Self(text.into()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is said crosses the wire encrypted.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether it is on this machine.
    pub(crate) fn is_here(&self) -> bool {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let place = rest.split(['/', '?']).next().unwrap_or_default();
        let host = match place.strip_prefix('[') {
            Some(bare) => bare.split(']').next().unwrap_or_default(),
            None => place.split(':').next().unwrap_or_default(),
        };
        let is_loopback = |address: std::net::IpAddr| address.is_loopback();
        host == "localhost" || host.parse().is_ok_and(is_loopback)
    }
}

/// An address, or `off`.
pub(super) fn url_or_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<HttpUrl>, D::Error> {
    let text = String::deserialize(from)?;
    if text == "off" {
        return Ok(None);
    }
    HttpUrl::parse(&text).map(Some).ok_or_else(|| {
        let expected = "an address such as \"https://auth.example/mqtt\", without a password in \
                        it, or \"off\"";
        serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &expected)
    })
}

/// The way back of [`url_or_off`].
pub(super) fn url_or_off_out<S: Serializer>(
    url: &Option<HttpUrl>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_str(url.as_ref().map_or("off", HttpUrl::as_str))
}

/// What decides who comes in does not cross a network as it is, unless that was said.
pub(super) fn check_secrecy(
    (setting, url): (&str, Option<&HttpUrl>),
    (leave, is_left): (&str, bool),
) -> Option<Breach> {
    let url = url.filter(|url| !url.is_secret() && !url.is_here() && !is_left)?;
    let url = url.as_str();
    let message = format!("`{setting}` = {url:?}: whoever is on the way could read and change it");
    Some(Breach::new(&[setting], message).hint(format!("use https://, or set `{leave}` = true")))
}

#[cfg(test)]
mod tests {
    use super::{HttpUrl, check_secrecy};

    #[test]
    fn an_address_is_one_without_a_password_in_it() {
        for (text, expected) in [
            ("http://a", true),
            ("https://a.example:8443/x?y=z", true),
            ("https://", false),
            ("https:///x", false),
            ("ftp://a", false),
            ("https://user:pass@a", false),
            ("https://a/b c", false),
            ("https://a/b#c", false),
            ("a.example", false),
        ] {
            assert_eq!(HttpUrl::parse(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn only_what_stays_on_this_machine_may_be_plain_unless_it_is_said() {
        for (text, is_left, is_fine) in [
            ("https://a.example", false, true),
            ("http://127.0.0.1:80/x", false, true),
            ("http://localhost/x", false, true),
            ("http://[::1]:80", false, true),
            ("http://a.example", false, false),
            ("http://127.0.0.1.example", false, false),
            ("http://localhost.example", false, false),
            ("http://a.example", true, true),
        ] {
            let url = HttpUrl::parse(text);
            let breach = check_secrecy(("auth.http.url", url.as_ref()), ("x", is_left));
            assert_eq!(breach.is_none(), is_fine, "{text}");
        }
    }
}
