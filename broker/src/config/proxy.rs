//! `proxy_protocol` and `proxy_from` of listeners: whether a proxy stands before them, and which.
//! Reads no header.

use serde::{Deserialize, Deserializer, Serialize};

use super::rules::Breach;
use super::text::read;
use crate::address_range::AddressRange;

/// Whether a proxy says before each connection whose it is (PROXY protocol, version 1 or 2).
///
/// There is no "if it likes": who leaves the header out would come from wherever the proxy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// None does.
    #[default]
    Off,
    /// One does, always.
    Required,
}

/// `off` or `required`, and why nothing between.
pub(super) fn proxy_protocol<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<ProxyProtocol, D::Error> {
    let expected = "\"off\" or \"required\" (there is no \"optional\": whoever leaves the header \
                    out would pass for the proxy)";
    read(from, expected, |text| match text {
        "off" => Some(ProxyProtocol::Off),
        "required" => Some(ProxyProtocol::Required),
        _ => None,
    })
}

/// Somebody's headers must count, and nobody's where there are none.
pub(super) fn check_proxy(
    listener: &str,
    protocol: ProxyProtocol,
    from: &[AddressRange],
) -> Option<Breach> {
    let (word, networks) =
        (format!("listener.{listener}.proxy_protocol"), format!("listener.{listener}.proxy_from"));
    match (protocol, from.is_empty()) {
        (ProxyProtocol::Required, true) => {
            let message = format!("`{word}` needs to know whose headers count");
            let hint = format!("name your proxies: `{networks}` = [\"10.0.0.0/8\"]");
            Some(Breach::new(&[&word, &networks], message).hint(hint))
        }
        (ProxyProtocol::Off, false) => {
            let message = format!("`{networks}` says nothing while `{word}` is \"off\"");
            let hint = format!("set `{word}` = \"required\", or take `{networks}` out");
            Some(Breach::new(&[&networks, &word], message).hint(hint))
        }
        (ProxyProtocol::Required, false) | (ProxyProtocol::Off, true) => None,
    }
}
