//! What the requests of each API look like, in three files, by whom they serve; and the answers
//! that we get where we are the client.

#[expect(dead_code, reason = "their handlers come next")]
pub(crate) mod admin;
pub(crate) mod answers;
pub(crate) mod data;
pub(crate) mod groups;
