//! Who may do what: rules, read from text, and the answer for one subject. Pure: asks nobody who a
//! subject is, reads no file, and never acts on its answers.

mod action;
mod filter;
mod mosquitto;
mod narrow;
mod network;
mod own;
mod ready;
mod rights;
mod rule;
mod rules;
mod shelf;
mod subject;
mod trie;
mod vouched;
mod words;

pub use action::{Action, Actions};
pub use mosquitto::parse_mosquitto;
pub use narrow::{Narrow, NarrowError};
pub use own::{LISTENERS, parse_rules};
pub use ready::Admits;
pub use rights::Rights;
pub use rule::{AccessError, Effect, Parsed, Rule};
pub use rules::{Rules, Wide};
pub use subject::{Place, Subject};
pub use vouched::{Vouched, rights_of};
