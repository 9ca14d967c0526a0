//! Every packet that a client may send, in every version, field by field. The one place to look
//! for what a valid packet looks like; the faults are made elsewhere.

use super::case::{Dialect, Setup};
use super::packet::{Field, Packet};
use super::rule::{Fault, MALFORMED, PROTOCOL, Verdict};
use super::texts::TextRule::{Filter, Plain, Topic};
use crate::hex;

pub(super) fn good(reply: &str) -> Verdict {
    Verdict::Good(hex::parse(reply).expect("our own hex"))
}

/// Those of one version.
pub(super) fn all(dialect: Dialect) -> Vec<Packet> {
    let mut packets = vec![connect(dialect), connect_with_all(dialect)];
    packets.extend((0..=2).map(|qos| publish(dialect, qos)));
    packets.extend(acknowledgements(dialect));
    packets.extend([subscribe(dialect), unsubscribe(dialect), ping(dialect), disconnect(dialect)]);
    packets.extend(auth(dialect));
    packets
}

/// Packets that only a server sends, well formed.
pub(super) fn of_servers(dialect: Dialect) -> Vec<Packet> {
    let is_v5 = dialect == Dialect::V5;
    let with = |v5: &'static str, before: &'static str| if is_v5 { v5 } else { before };
    [
        ("CONNACK", 0x20, with("00 00 00", "00 00")),
        ("SUBACK", 0x90, with("00 07 00 00", "00 07 00")),
        ("UNSUBACK", 0xb0, with("00 07 00 00", "00 07")),
        ("PINGRESP", 0xd0, ""),
    ]
    .map(|(name, first, body)| Packet {
        name: name.to_owned(),
        dialect,
        setup: Setup::Connected,
        first,
        fields: vec![Field::fixed("body", body)],
        good: PROTOCOL,
    })
    .to_vec()
}

fn packet(name: &str, dialect: Dialect, first: u8, fields: Vec<Field>, good: Verdict) -> Packet {
    Packet { name: name.to_owned(), dialect, setup: Setup::Connected, first, fields, good }
}

/// Properties stand only in MQTT 5.
fn properties(dialect: Dialect, name: &'static str, bytes: &str) -> Option<Field> {
    (dialect == Dialect::V5).then(|| Field::properties(name, bytes))
}

/// Name and level of the protocol; what is not the name of one gets no answer.
fn protocol(dialect: Dialect) -> Field {
    Field::fixed("protocol", dialect.protocol()).or_missing(Verdict::Bad(Fault::Stranger))
}

fn connect(dialect: Dialect) -> Packet {
    let mut fields = vec![protocol(dialect), Field::fixed("flags", "02")];
    fields.push(Field::number("keep alive", "00 3c"));
    fields.extend(properties(dialect, "properties", "[11 00 00 00 00]"));
    fields.push(Field::text("client id", Plain, "m"));
    let setup = Setup::Fresh;
    Packet { setup, ..packet("CONNECT", dialect, 0x10, fields, good("")) }
}

/// With will, user name and password. MQTT 3.1 lets those two be missing.
fn connect_with_all(dialect: Dialect) -> Packet {
    let may_miss = if dialect == Dialect::V31 { good("") } else { MALFORMED };
    let mut fields = vec![protocol(dialect), Field::fixed("flags", "c6")];
    fields.push(Field::number("keep alive", "00 3c"));
    fields.extend(properties(dialect, "properties", "[]"));
    fields.push(Field::text("client id", Plain, "with all"));
    fields.extend(properties(dialect, "will properties", "[18 00 00 00 00]"));
    fields.push(Field::text("will topic", Topic, "w/x"));
    fields.push(Field::binary("will payload", "$'will'"));
    fields.push(Field::text("user name", Plain, "u").or_missing(may_miss.clone()));
    fields.push(Field::binary("password", "$'p'").or_missing(may_miss));
    let name = "CONNECT with will, user name and password";
    Packet { setup: Setup::Fresh, ..packet(name, dialect, 0x10, fields, good("")) }
}

fn publish(dialect: Dialect, qos: u8) -> Packet {
    let mut fields = vec![Field::text("topic", Topic, "t/1")];
    if qos > 0 {
        fields.push(Field::id());
    }
    fields.extend(properties(dialect, "properties", "[01 01]"));
    let reply = ["", "40 02 00 07", "50 02 00 07"].map(good).into_iter().nth(usize::from(qos));
    let reply = reply.expect("three levels");
    fields.push(Field::rest("'payload'").or_missing(reply.clone()));
    packet(&format!("PUBLISH at QoS {qos}"), dialect, 0x30 | qos << 1, fields, reply)
}

/// All of them about an exchange that there is not.
fn acknowledgements(dialect: Dialect) -> Vec<Packet> {
    let is_v5 = dialect == Dialect::V5;
    let replies = match is_v5 {
        true => ["", "62 03 00 07 92", "70 03 00 07 92", ""],
        false => ["", "62 02 00 07", "70 02 00 07", ""],
    };
    let kinds = [("PUBACK", 0x40), ("PUBREC", 0x50), ("PUBREL", 0x62), ("PUBCOMP", 0x70)];
    let mut packets = Vec::new();
    for ((name, first), reply) in kinds.into_iter().zip(replies.map(good)) {
        let mut fields = vec![Field::id()];
        if is_v5 {
            fields.push(Field::fixed("reason", "00").or_missing(reply.clone()));
            let last = Field::properties("properties", "[26 $'k' $'v']");
            fields.push(last.or_missing(reply.clone()));
        }
        packets.push(packet(name, dialect, first, fields, reply));
    }
    packets
}

fn subscribe(dialect: Dialect) -> Packet {
    let mut fields = vec![Field::id()];
    fields.extend(properties(dialect, "properties", "[0b 01]"));
    fields.push(Field::text("filter", Filter, "s/1").or_missing(PROTOCOL));
    fields.push(Field::fixed("options", "01"));
    let (one, two) = match dialect {
        Dialect::V5 => (good("90 04 00 07 00 01"), good("90 05 00 07 00 01 02")),
        Dialect::V31 | Dialect::V311 => (good("90 03 00 07 01"), good("90 04 00 07 01 02")),
    };
    fields.push(Field::text("second filter", Filter, "s/+/2").or_missing(one));
    fields.push(Field::fixed("second options", "02"));
    packet("SUBSCRIBE", dialect, 0x82, fields, two)
}

fn unsubscribe(dialect: Dialect) -> Packet {
    let mut fields = vec![Field::id()];
    fields.extend(properties(dialect, "properties", "[26 $'k' $'v']"));
    fields.push(Field::text("filter", Filter, "s/1").or_missing(PROTOCOL));
    let (one, two) = match dialect {
        Dialect::V5 => (good("b0 04 00 07 00 11"), good("b0 05 00 07 00 11 11")),
        Dialect::V31 | Dialect::V311 => (good("b0 02 00 07"), good("b0 02 00 07")),
    };
    fields.push(Field::text("second filter", Filter, "s/#").or_missing(one));
    packet("UNSUBSCRIBE", dialect, 0xa2, fields, two)
}

fn ping(dialect: Dialect) -> Packet {
    packet("PINGREQ", dialect, 0xc0, Vec::new(), good(""))
}

fn disconnect(dialect: Dialect) -> Packet {
    let fields = match dialect {
        Dialect::V31 | Dialect::V311 => Vec::new(),
        Dialect::V5 => vec![
            Field::fixed("reason", "00").or_missing(Verdict::Ends),
            Field::properties("properties", "[1f $'bye']").or_missing(Verdict::Ends),
        ],
    };
    packet("DISCONNECT", dialect, 0xe0, fields, Verdict::Ends)
}

/// Nobody began an authentication here, so a well-formed one is out of place.
fn auth(dialect: Dialect) -> Option<Packet> {
    let fields = vec![
        Field::fixed("reason", "18").or_missing(PROTOCOL),
        Field::properties("properties", "[15 $'m' 16 $'data']"),
    ];
    (dialect == Dialect::V5).then(|| packet("AUTH", dialect, 0xf0, fields, PROTOCOL))
}
