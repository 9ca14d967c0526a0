//! A consumer group as it was when its members last agreed: who is in it, and what each reads.

use crate::rows::field::{Fields, RowError, put_text, put_varint};

const VERSION: u8 = 1;
const PRESENT: u8 = 1;
const ABSENT: u8 = 0;

/// The value of a row in `Table::Groups`; key: the name of the group.
///
/// `version u8 | generation u32 | since i64 | protocol type | protocol | leader | members …`; a
/// member is `id | instance u8, id | client id | host | session, rebalance | count | protocols … |
/// assignment`, a protocol `name | metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRow {
    /// How often its members agreed.
    pub generation: u32,
    /// Since when it is as it is, in milliseconds of the Unix epoch.
    pub since_ms: i64,
    /// What its members are to each other: "consumer".
    pub protocol_type: String,
    /// How they share out partitions; empty without members.
    pub protocol: String,
    /// The member that shared them out; empty without members.
    pub leader: String,
    /// All members.
    pub members: Vec<MemberRow>,
}

/// One member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRow {
    /// The id that the group gave it.
    pub id: String,
    /// The id that it gave itself, for good.
    pub instance: Option<String>,
    /// What its connection calls itself.
    pub client_id: String,
    /// Where it connected from.
    pub host: String,
    /// How long it may be silent.
    pub session_ms: u32,
    /// How long the others wait for it.
    pub rebalance_ms: u32,
    /// What it can agree to: names, and what it says for each.
    pub protocols: Vec<(String, Vec<u8>)>,
    /// What it reads.
    pub assignment: Vec<u8>,
}

impl GroupRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![VERSION];
        row.extend_from_slice(&self.generation.to_le_bytes());
        row.extend_from_slice(&self.since_ms.to_le_bytes());
        put_text(&self.protocol_type, &mut row);
        put_text(&self.protocol, &mut row);
        put_text(&self.leader, &mut row);
        self.members.iter().for_each(|member| member.encode(&mut row));
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let mut group = Self {
            generation: fields.u32()?,
            since_ms: fields.i64()?,
            protocol_type: fields.text()?.to_owned(),
            protocol: fields.text()?.to_owned(),
            leader: fields.text()?.to_owned(),
            members: Vec::new(),
        };
        while !fields.is_empty() {
            group.members.push(MemberRow::decode(&mut fields)?);
        }
        Ok(group)
    }
}

impl MemberRow {
    fn encode(&self, row: &mut Vec<u8>) {
        put_text(&self.id, row);
        match &self.instance {
            Some(instance) => {
                row.push(PRESENT);
                put_text(instance, row);
            }
            None => row.push(ABSENT),
        }
        put_text(&self.client_id, row);
        put_text(&self.host, row);
        put_varint(u64::from(self.session_ms), row);
        put_varint(u64::from(self.rebalance_ms), row);
        put_varint(self.protocols.len() as u64, row);
        for (name, metadata) in &self.protocols {
            put_text(name, row);
            put_bytes(metadata, row);
        }
        put_bytes(&self.assignment, row);
    }

    fn decode(fields: &mut Fields<'_>) -> Result<Self, RowError> {
        let id = fields.text()?.to_owned();
        let instance = match fields.u8()? {
            ABSENT => None,
            PRESENT => Some(fields.text()?.to_owned()),
            _ => return Err(RowError),
        };
        let client_id = fields.text()?.to_owned();
        let host = fields.text()?.to_owned();
        let (session_ms, rebalance_ms) = (milliseconds(fields)?, milliseconds(fields)?);
        let mut protocols = Vec::new();
        for _ in 0..fields.varint()? {
            protocols.push((fields.text()?.to_owned(), fields.bytes()?.to_vec()));
        }
        let assignment = fields.bytes()?.to_vec();
        Ok(Self { id, instance, client_id, host, session_ms, rebalance_ms, protocols, assignment })
    }
}

fn milliseconds(fields: &mut Fields<'_>) -> Result<u32, RowError> {
    u32::try_from(fields.varint()?).map_err(|_| RowError)
}

fn put_bytes(bytes: &[u8], row: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, row);
    row.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::{GroupRow, MemberRow};

    fn row() -> GroupRow {
        let first = MemberRow {
            id: "a-1".into(),
            instance: Some("a".into()),
            client_id: "rdkafka".into(),
            host: "127.0.0.1".into(),
            session_ms: 45_000,
            rebalance_ms: 300_000,
            protocols: vec![("range".into(), vec![0, 1]), ("roundrobin".into(), vec![])],
            assignment: vec![7; 300],
        };
        let second = MemberRow { id: "b-2".into(), ..MemberRow::default() };
        GroupRow {
            generation: 7,
            since_ms: 99,
            protocol_type: "consumer".into(),
            protocol: "range".into(),
            leader: "a-1".into(),
            members: vec![first, second],
        }
    }

    #[test]
    fn a_group_reads_back_as_it_was_written() {
        assert_eq!(GroupRow::decode(&row().encode()), Ok(row()));
    }

    #[test]
    fn a_row_cut_anywhere_is_refused_or_shorter_and_never_invents() {
        let whole = row().encode();
        for cut in 0..whole.len() {
            if let Ok(read) = GroupRow::decode(&whole[..cut]) {
                assert_eq!(read.members[..], row().members[..read.members.len()], "{cut}");
            }
        }
    }
}
