//! What to try next when a broker says no. Asks no broker.

use tidewire_proto::mqtt::{PacketKind, ReasonCode};

/// What was refused, why, and what to try.
pub(crate) fn refused(what: &str, reason: ReasonCode, words: &str, asked: PacketKind) -> String {
    let text = format!("{what}: {words}");
    match of(reason, asked) {
        Some(advice) => format!("{text}\n  try: {advice}"),
        None => text,
    }
}

fn of(reason: ReasonCode, asked: PacketKind) -> Option<&'static str> {
    Some(match (reason, asked) {
        (ReasonCode::BAD_USER_NAME_OR_PASSWORD, _) => {
            "--user NAME --password-file FILE (its first line is the password)"
        }
        (ReasonCode::NOT_AUTHORIZED, PacketKind::Connect) => {
            "--user NAME --password-file FILE, or a listener that lets this address in"
        }
        (ReasonCode::NOT_AUTHORIZED, _) => {
            "another --user, or a rule for this one; beside the broker `tidewire acl check` says \
             which rule decides"
        }
        (ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, _) => "--protocol 3.1.1",
        (ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, _) => "another --id, or none",
        (ReasonCode::QUOTA_EXCEEDED, _) => {
            "again later: the broker has no room; its log says of what"
        }
        (ReasonCode::SERVER_BUSY | ReasonCode::SERVER_UNAVAILABLE, _) => "again in a moment",
        (ReasonCode::BANNED, _) => {
            "ask whoever runs the broker: this client, user or address is \
                                    shut out"
        }
        (ReasonCode::PACKET_TOO_LARGE, _) => {
            "a smaller payload, or a larger mqtt.packet_bytes_max in the broker's configuration"
        }
        (ReasonCode::TOPIC_FILTER_INVALID, _) => {
            "# stands alone at the end, + alone between two slashes"
        }
        (ReasonCode::TOPIC_NAME_INVALID, _) => "a topic without + and #, not below $SYS",
        _ => return None,
    })
}

/// What to try when there is no connection at all.
pub(crate) fn unreached(words: &str) -> String {
    let words = words.replace("tls.ca_file", "--cafile");
    let advice = if words.contains("refused") {
        "is a broker running there? `tidewire` starts one; --url says where another is"
    } else if words.contains("UnknownIssuer") {
        "--cafile FILE, with the authority that signed the broker's certificate"
    } else if words.contains("NotValidForName") {
        "--url with a name that is in the broker's certificate"
    } else if words.contains("CertificateRequired") {
        "--cert FILE --key FILE: the broker asks clients for a certificate"
    } else if words.contains("WebSocket") {
        "--url ws://HOST:PORT/PATH with a port and a path where the broker speaks WebSocket"
    } else if words.contains("lookup") || words.contains("Name or service") {
        "--url mqtt://HOST:PORT with a host that this machine knows"
    } else {
        "--url mqtt://HOST:PORT, or mqtts:// where the port speaks TLS"
    };
    format!("{words}\n  try: {advice}")
}

#[cfg(test)]
mod tests {
    use super::{PacketKind, ReasonCode, refused, unreached};

    #[test]
    fn a_refusal_says_what_to_try() {
        let text = refused("a/b", ReasonCode(0x87), "not authorized", PacketKind::Publish);
        assert!(text.starts_with("a/b: not authorized\n  try: "), "{text}");
        assert!(text.contains("acl check"), "{text}");
        let text = refused("CONNECT", ReasonCode(0x86), "bad", PacketKind::Connect);
        assert!(text.contains("--password-file"), "{text}");
        assert_eq!(refused("a", ReasonCode(0x80), "no", PacketKind::Publish), "a: no");
        assert!(unreached("a:1: Connection refused").contains("`tidewire` starts one"));
        assert!(unreached("no TLS: UnknownIssuer").contains("--cafile"));
    }
}
