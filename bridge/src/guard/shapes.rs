//! What the requests of each API look like, in three files, by whom they serve.

#[expect(dead_code, reason = "their handlers come next")]
pub(crate) mod admin;
pub(crate) mod data;
pub(crate) mod groups;
