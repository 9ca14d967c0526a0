//! Properties of a packet that the broker sent, taken apart by the specification's table and not
//! by the codec under test. Judges no value.

/// What stands behind the length of the properties, and what follows them.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, size) = varint(bytes)?;
    bytes.get(size..)?.split_at_checked(length)
}

/// Number and value bytes of each.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let (mut rest, _) = split(bytes)?;
    let mut found = Vec::new();
    while let Some((&number, value)) = rest.split_first() {
        let size = size_of(number, value)?;
        let (value, behind) = value.split_at_checked(size)?;
        found.push((number, value.to_vec()));
        rest = behind;
    }
    Some(found)
}

fn size_of(number: u8, value: &[u8]) -> Option<usize> {
    Some(match number {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => 1,
        0x13 | 0x21..=0x23 => 2,
        0x02 | 0x11 | 0x18 | 0x27 => 4,
        0x0b => varint(value)?.1,
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => field(value)?,
        0x26 => {
            let name = field(value)?;
            name + field(value.get(name..)?)?
        }
        _ => return None,
    })
}

/// A two-byte length and what it counts.
fn field(value: &[u8]) -> Option<usize> {
    let (length, _) = value.split_first_chunk()?;
    Some(2 + usize::from(u16::from_be_bytes(*length)))
}

fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::hex::parse;

    #[test]
    fn properties_come_apart_by_their_numbers() {
        let bytes = parse("[0b 80 01 26 $'k' $'v' 23 00 07 01 01] 'rest'").expect("our own hex");
        let found = read(&bytes).expect("properties");
        let numbers: Vec<u8> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0x0b, 0x26, 0x23, 0x01]);
        assert_eq!(found[1].1, parse("$'k' $'v'").expect("our own hex"));
        assert_eq!(read(&[3, 0x26, 0, 9]), None);
    }
}
