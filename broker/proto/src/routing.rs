//! Who gets a message and where it is stored. Decides only; never sends, never stores.

pub mod grant;
pub mod placement;
pub mod rewrite;
pub mod routes;
pub mod trie;
