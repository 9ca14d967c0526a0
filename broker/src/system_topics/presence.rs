//! That a client came or went, as EMQX says it under `$SYS`, where that is asked for. Decides
//! nothing.

use serde_json::json;
use tidewire_proto::mqtt::Version;
use tidewire_proto::record::Batch;
use tidewire_proto::topic::check_topic_name;

use super::desk::messages;
use crate::link::Peer;

/// Who it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) node: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) version: Version,
    pub(crate) peer: Peer,
    /// Where it came in: the section of the listener.
    pub(crate) listener: &'static str,
}

/// How it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    pub(crate) keep_alive_s: u16,
    pub(crate) expiry_s: u32,
    pub(crate) clean_start: bool,
}

/// That it came. `None`: its client id cannot be a part of a topic.
pub(crate) fn came(whose: &Whose<'_>, came: Came, now_ms: i64) -> Option<Batch> {
    let Came { keep_alive_s, expiry_s, clean_start } = came;
    let more = json!({
        "keepalive": keep_alive_s,
        "expiry_interval": expiry_s,
        "clean_start": clean_start,
        "connected_at": now_ms,
        "connack": 0,
    });
    said(whose, ("connected", more), now_ms)
}

/// That it went, and why.
pub(crate) fn went(whose: &Whose<'_>, reason: &str, now_ms: i64) -> Option<Batch> {
    said(whose, ("disconnected", json!({ "reason": reason, "disconnected_at": now_ms })), now_ms)
}

fn said(whose: &Whose<'_>, (what, more): (&str, serde_json::Value), now_ms: i64) -> Option<Batch> {
    let Whose { node, client_id, user, version, peer, listener } = whose;
    let topic = format!("$SYS/brokers/{node}/clients/{client_id}/{what}");
    check_topic_name(&topic).ok()?;
    let (proto_name, proto_ver) = match version {
        Version::V31 => ("MQIsdp", 3),
        Version::V311 => ("MQTT", 4),
        Version::V5 => ("MQTT", 5),
    };
    let mut all = json!({
        "clientid": client_id,
        "username": user,
        "ipaddress": peer.ip().map(|address| address.to_string()),
        "listener": listener,
        "proto_name": proto_name,
        "proto_ver": proto_ver,
        "ts": now_ms,
    });
    if let (Some(all), serde_json::Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    Some(messages([(&*topic, &*all.to_string())].into_iter(), false, now_ms))
}

#[cfg(test)]
mod tests {
    use tidewire_proto::message::Message;

    use super::{Came, Peer, Version, Whose, came, went};

    fn whose(client_id: &str) -> Whose<'_> {
        let peer = Peer::Net(([10, 0, 0, 1], 4711).into());
        let (version, listener) = (Version::V311, "mqtt");
        Whose { node: "n1", client_id, user: Some("ann"), version, peer, listener }
    }

    #[test]
    fn who_comes_and_goes_is_told_of_with_the_keys_of_emqx() {
        let how = Came { keep_alive_s: 60, expiry_s: 7, clean_start: true };
        for (batch, what, keys) in [
            (came(&whose("esp/12"), how, 5), "connected", ["keepalive", "connected_at"]),
            (went(&whose("esp/12"), "lost", 5), "disconnected", ["reason", "disconnected_at"]),
        ] {
            let batch = batch.expect("a topic");
            let record = batch.records().next().expect("one");
            let message = Message::of(&record).expect("a message");
            assert_eq!(message.topic, format!("$SYS/brokers/n1/clients/esp/12/{what}"));
            assert!(!message.retain);
            let said: serde_json::Value = serde_json::from_slice(message.payload).expect("JSON");
            for key in ["clientid", "username", "ipaddress", "proto_ver", "ts"].iter().chain(&keys)
            {
                assert!(!said[key].is_null(), "{key}: {said}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_topic_is_not_told_of() {
        for client_id in ["a+b", "#"] {
            assert!(went(&whose(client_id), "lost", 5).is_none(), "{client_id}");
        }
    }
}
