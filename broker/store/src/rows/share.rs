//! A share group that outlives its connections, and who is in it.

use tidewire_proto::id::{GroupId, PartitionId};
use tidewire_proto::qos::Qos;
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::session::window::Place;

use crate::rows::cursor::{decode_positions, encode_positions};
use crate::rows::field::{Fields, RowError, put_text, put_varint};

const VERSION: u8 = 1;
const GROUP: u8 = 0;
const MEMBER: u8 = 1;
/// Set beside the QoS where a dead letter is owed.
const DOOMED: u8 = 1 << 7;
/// In the place of a reason code.
const UNACKNOWLEDGED: u8 = 0;
/// In the place of a client: the message waits to be handed out again.
const NOBODY: u64 = 0;

/// What a key of `Table::Shares` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A group; its value is a [`GroupRow`].
    Group(GroupId),
    /// A member whose session outlives its connections; its value says nothing.
    Member(GroupId, &'a str),
}

/// The value of a member's row.
pub const MEMBER_ROW: &[u8] = &[1];

/// A message that was handed out and is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Where it lies.
    pub place: Place,
    /// The client that has it; `None` while it waits for another.
    pub client_id: Option<String>,
    /// The QoS of the exchange.
    pub qos: Qos,
    /// How often it was handed out.
    pub attempts: u32,
    /// It is for nobody any more, and only its dead letter is owed: why.
    pub doomed: Option<Doom>,
}

/// Why a message is for nobody any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doom {
    /// Nobody acknowledged it, as often as it was handed out.
    Unacknowledged,
    /// A member refused it with this reason code.
    Refused(u8),
}

/// A group: everything before its positions was handed out, and is over unless it is named.
///
/// `version u8 | filter | positions | clients | unfinished …`; an unfinished message is
/// `qos u8 | partition | offset | client (0: nobody) | attempts`, and where its dead letter is owed
/// `reason u8` (0: not acknowledged) behind it and bit 7 of `qos` set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRow {
    /// Its whole filter, `$share/name/` included.
    pub filter: String,
    /// The next offset per partition.
    pub positions: Positions,
    /// What was handed out and is not over.
    pub unfinished: Vec<Unfinished>,
}

impl<'a> Key<'a> {
    /// As bytes.
    #[must_use]
    pub fn encode(self) -> Box<[u8]> {
        let (kind, group, client_id) = match self {
            Self::Group(group) => (GROUP, group, ""),
            Self::Member(group, client_id) => (MEMBER, group, client_id),
        };
        let mut key = vec![kind];
        key.extend_from_slice(&group.0.to_be_bytes());
        key.extend_from_slice(client_id.as_bytes());
        key.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the key is of no known form.
    pub fn decode(key: &'a [u8]) -> Result<Self, RowError> {
        let (kind, rest) = key.split_first().ok_or(RowError)?;
        let (group, rest) = rest.split_first_chunk().ok_or(RowError)?;
        let group = GroupId(u32::from_be_bytes(*group));
        match *kind {
            GROUP if rest.is_empty() => Ok(Self::Group(group)),
            MEMBER => Ok(Self::Member(group, std::str::from_utf8(rest).map_err(|_| RowError)?)),
            _ => Err(RowError),
        }
    }
}

impl GroupRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![VERSION];
        put_text(&self.filter, &mut row);
        put_varint(self.positions.iter().count() as u64, &mut row);
        encode_positions(&self.positions, &mut row);
        let mut clients: Vec<&str> =
            self.unfinished.iter().filter_map(|one| one.client_id.as_deref()).collect();
        clients.sort_unstable();
        clients.dedup();
        put_varint(clients.len() as u64, &mut row);
        clients.iter().for_each(|client| put_text(client, &mut row));
        for one in &self.unfinished {
            let client = one.client_id.as_deref();
            let at = client.and_then(|client| clients.binary_search(&client).ok());
            row.push(one.qos.bits() | if one.doomed.is_some() { DOOMED } else { 0 });
            put_varint(u64::from(one.place.partition.0), &mut row);
            put_varint(one.place.offset, &mut row);
            put_varint(at.map_or(NOBODY, |at| at as u64 + 1), &mut row);
            put_varint(u64::from(one.attempts), &mut row);
            row.extend(one.doomed.map(|doom| match doom {
                Doom::Unacknowledged => UNACKNOWLEDGED,
                Doom::Refused(reason) => reason,
            }));
        }
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let filter = fields.text()?.to_owned();
        let count = number(&mut fields)?;
        let positions = decode_positions(&mut fields, count)?;
        let mut clients = Vec::new();
        for _ in 0..fields.varint()? {
            clients.push(fields.text()?.to_owned());
        }
        let mut unfinished = Vec::new();
        while !fields.is_empty() {
            let bits = fields.u8()?;
            let qos = Qos::from_bits(bits & !DOOMED).ok_or(RowError)?;
            let partition = PartitionId(number(&mut fields)?);
            let place = Place { partition, offset: fields.varint()? };
            let client_id = match fields.varint()? {
                NOBODY => None,
                at => {
                    let at = usize::try_from(at - 1).map_err(|_| RowError)?;
                    Some(clients.get(at).ok_or(RowError)?.clone())
                }
            };
            let attempts = number(&mut fields)?;
            let doomed = match bits & DOOMED != 0 {
                true => Some(match fields.u8()? {
                    UNACKNOWLEDGED => Doom::Unacknowledged,
                    reason => Doom::Refused(reason),
                }),
                false => None,
            };
            unfinished.push(Unfinished { place, client_id, qos, attempts, doomed });
        }
        Ok(Self { filter, positions, unfinished })
    }
}

fn number(fields: &mut Fields<'_>) -> Result<u32, RowError> {
    u32::try_from(fields.varint()?).map_err(|_| RowError)
}

#[cfg(test)]
mod tests {
    use super::{Doom, GroupRow, Key, Unfinished};
    use tidewire_proto::id::{GroupId, PartitionId};
    use tidewire_proto::qos::Qos;
    use tidewire_proto::session::cursor::Positions;
    use tidewire_proto::session::window::Place;

    fn unfinished(offset: u64, client_id: Option<&str>) -> Unfinished {
        let place = Place { partition: PartitionId(3), offset };
        let client_id = client_id.map(str::to_owned);
        Unfinished { place, client_id, qos: Qos::ExactlyOnce, attempts: 2, doomed: None }
    }

    fn row() -> GroupRow {
        let mut positions = Positions::default();
        positions.advance(PartitionId(1), 70_000);
        let doomed = |offset, doom| Unfinished { doomed: Some(doom), ..unfinished(offset, None) };
        let unfinished = vec![
            unfinished(5, Some("b")),
            unfinished(6, None),
            doomed(7, Doom::Unacknowledged),
            doomed(8, Doom::Refused(0x83)),
            unfinished(1 << 40, Some("a")),
        ];
        GroupRow { filter: "$share/team/plant/#".into(), positions, unfinished }
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
                assert_eq!(read.unfinished[..], row().unfinished[..read.unfinished.len()], "{cut}");
            }
        }
    }

    #[test]
    fn keys_read_back_and_groups_lie_before_members() {
        let keys = [Key::Group(GroupId(300)), Key::Member(GroupId(2), "client")];
        for key in keys {
            assert_eq!(Key::decode(&key.encode()), Ok(key));
        }
        assert!(keys[0].encode() < keys[1].encode());
        assert!(Key::decode(&[9, 0, 0, 0, 0]).is_err() && Key::decode(&[0, 1]).is_err());
    }
}
