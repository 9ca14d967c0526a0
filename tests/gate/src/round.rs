//! What every path comes down to.

/// Does a path once.
pub(crate) type Round = Box<dyn FnMut()>;
