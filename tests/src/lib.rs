//! The harness of the whole-system tests: starts the real programs and speaks to them from
//! outside. Never looks into the broker; only the fuzzer looks at a part of it, the codec.

pub mod apache;
pub mod authority;
pub mod broker;
pub mod browser;
pub mod cable;
pub mod chaos;
pub mod clients;
pub mod clock;
pub mod configured;
pub mod conformance;
pub mod dependencies;
pub mod doors;
pub mod fuzz;
pub mod hex;
pub mod kafka_log;
pub mod kafka_orders;
pub mod malformed;
pub mod members;
pub mod mosquitto;
pub mod over;
pub mod pages;
pub mod places;
pub mod program;
pub mod random;
pub mod scram;
pub mod secure;
pub mod siege;
pub mod tidy;
pub mod tokens;
pub mod users;
pub mod web;
pub mod wire;
