//! Malformed packets: those written by hand in a table, and those that follow from a description
//! of every packet, field and rule. What is expected comes from the rules, never from a broker.

mod case;
mod codes;
mod connect;
mod header;
mod packet;
mod packets;
mod properties;
mod rule;
mod table;
mod texts;

use case::Dialect;

pub use case::Case;
pub use table::read_table;

/// Every packet, every field, every fault, in all three versions.
#[must_use]
pub fn generated() -> Vec<Case> {
    let mut cases = properties::cases();
    for dialect in Dialect::ALL {
        cases.extend(packets::all(dialect).iter().flat_map(packet::Packet::cases));
        cases.extend(header::cases(dialect));
        cases.extend(connect::cases(dialect));
        cases.extend(codes::cases(dialect));
    }
    cases
}

/// The bytes of every valid packet of the description.
#[must_use]
pub fn valid_packets() -> Vec<Vec<u8>> {
    let all = Dialect::ALL
        .into_iter()
        .flat_map(|dialect| [packets::all(dialect), packets::of_servers(dialect)].concat());
    all.map(|packet| packet.bytes()).collect()
}
