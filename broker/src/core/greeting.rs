//! A subscription that waits for what the broker says of itself. Plain data.

use tidewire_proto::routing::grant::Grant;

use crate::core::open::ConnId;

/// Whose it is, and what it is.
pub(crate) struct Greeting {
    pub(crate) conn: ConnId,
    pub(crate) filter: Box<str>,
    pub(crate) grant: Grant,
}
