//! What consumers say about themselves when they join, and what they are assigned: bytes that
//! only clients agree on. We look into them to show who reads what, and to let go what nobody does;
//! what we do not understand changes nothing.

use crate::guard::{Reader, ShortError};

/// The topics of a consumer's subscription; none if it says something else.
pub(crate) fn topics(metadata: &[u8]) -> Vec<String> {
    read_topics(metadata).unwrap_or_default()
}

/// The topics and partitions of a consumer's assignment; none if it says something else.
#[must_use]
pub fn partitions(assignment: &[u8]) -> Vec<(String, Vec<u32>)> {
    read_partitions(assignment).unwrap_or_default()
}

/// The same, or that it says something else.
pub(crate) fn read_topics(metadata: &[u8]) -> Result<Vec<String>, ShortError> {
    let mut reader = Reader::new(metadata);
    reader.i16()?;
    let mut topics = Vec::new();
    for _ in 0..reader.i32()? {
        topics.push(text(&mut reader)?);
    }
    Ok(topics)
}

fn read_partitions(assignment: &[u8]) -> Result<Vec<(String, Vec<u32>)>, ShortError> {
    let mut reader = Reader::new(assignment);
    reader.i16()?;
    let mut topics = Vec::new();
    for _ in 0..reader.i32()? {
        let topic = text(&mut reader)?;
        let mut partitions = Vec::new();
        for _ in 0..reader.i32()? {
            partitions.push(u32::try_from(reader.i32()?).map_err(|_| ShortError)?);
        }
        topics.push((topic, partitions));
    }
    Ok(topics)
}

fn text(reader: &mut Reader<'_>) -> Result<String, ShortError> {
    let length = usize::try_from(reader.i16()?).map_err(|_| ShortError)?;
    Ok(String::from_utf8_lossy(reader.take(length)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{partitions, topics};

    const METADATA: &[u8] = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff";
    const ASSIGNMENT: &[u8] = b"\0\0\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x07\0\0\0\0";

    #[test]
    fn consumers_say_which_topics_they_want() {
        assert_eq!(topics(METADATA), ["a", "bc"]);
        assert_eq!(partitions(ASSIGNMENT), [("a".to_owned(), vec![0, 7])]);
    }

    #[test]
    fn what_is_not_understood_says_nothing() {
        for cut in 0..13 {
            assert!(topics(&METADATA[..cut]).is_empty(), "{cut}");
        }
        for bytes in [&b""[..], b"\0\0\x7f\xff\xff\xff", b"\0\0\xff\xff\xff\xff", b"range"] {
            assert!(topics(bytes).is_empty() && partitions(bytes).is_empty());
        }
    }
}
