//! One header of a record, borrowed from whoever holds the bytes.

/// A name and perhaps a value. Names may repeat; their order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name: UTF-8 by convention, not checked here.
    pub key: &'a [u8],
    /// The value; `None` is not the same as an empty one.
    pub value: Option<&'a [u8]>,
}
