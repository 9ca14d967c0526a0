//! How requests are described: fields in their order, with the versions that have them. Data
//! only; docs of the Kafka protocol say what the fields mean.

/// The first version of an API that never became flexible.
pub(crate) const NEVER: i16 = i16::MAX;

/// The body of a request, in all its versions.
#[derive(Debug)]
pub(crate) struct Shape {
    /// From this version on lengths are compact and fields may be tagged.
    pub(crate) flexible_since: i16,
    /// In their order on the wire.
    pub(crate) fields: &'static [Field],
}

impl Shape {
    pub(crate) const fn new(flexible_since: i16, fields: &'static [Field]) -> Self {
        Self { flexible_since, fields }
    }
}

/// One field of a request or of a group within it.
#[derive(Debug)]
pub(crate) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) tag: Option<u32>,
    since: i16,
    until: i16,
}

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// A string, perhaps null.
    Text,
    /// Bytes, perhaps null.
    Bytes,
    /// Elements, perhaps null.
    Array(&'static Kind),
    /// Fields within a field.
    Group(&'static [Field]),
    /// The same, behind a byte that says whether there is one.
    Maybe(&'static [Field]),
}

pub(super) const INT8: Kind = Kind::Fixed(1);
pub(super) const INT16: Kind = Kind::Fixed(2);
pub(super) const INT32: Kind = Kind::Fixed(4);
pub(super) const INT64: Kind = Kind::Fixed(8);
pub(super) const UUID: Kind = Kind::Fixed(16);
pub(super) const TEXT: Kind = Kind::Text;
pub(super) const BYTES: Kind = Kind::Bytes;

pub(super) const fn array(element: &'static Kind) -> Kind {
    Kind::Array(element)
}

pub(super) const fn group(fields: &'static [Field]) -> Kind {
    Kind::Group(fields)
}

pub(super) const fn maybe(fields: &'static [Field]) -> Kind {
    Kind::Maybe(fields)
}

/// A field of every version.
pub(super) const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, tag: None, since: 0, until: i16::MAX }
}

/// A field that is there only behind its tag.
pub(super) const fn tagged(tag: u32, name: &'static str, kind: Kind) -> Field {
    Field { name, kind, tag: Some(tag), since: 0, until: i16::MAX }
}

impl Field {
    /// From this version on.
    pub(super) const fn since(self, version: i16) -> Self {
        Self { since: version, ..self }
    }

    /// Up to this version, itself included.
    pub(super) const fn until(self, version: i16) -> Self {
        Self { until: version, ..self }
    }

    pub(super) fn is_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }
}
