//! The commands that ask the HTTP port of a running broker, one file per noun. Opens no data
//! folder.

mod bridge;
mod clients;
mod consent;
mod described;
mod groups;
mod health;
mod listed;
mod place;
mod reload;
mod retained;
mod sessions;
mod streams;
mod table;
mod told;
mod topics;

use clap::Subcommand;

use super::remote::Trouble;
use crate::config::Sources;

/// What is asked of a running broker.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Order {
    /// Who is connected to a running broker; send clients away, shut them out.
    Clients(clients::Clients),
    /// What outlives connections: how far behind, since when away; end it.
    Sessions(sessions::Sessions),
    /// The parts of the log, and what they hold.
    Streams(streams::Streams),
    /// Consumer groups and share groups: members, offsets, lag; put them elsewhere.
    Groups(groups::Groups),
    /// Which topics there are: messages, bytes, the last one; as a table or a tree.
    Topics(topics::Topics),
    /// Retained messages: list them, show one, clear them.
    Retained(retained::Retained),
    /// Bridges: state, lag, last error; pause, test, rewind them.
    Bridge(bridge::Bridge),
    /// Have a running broker take over the settings as they are now in its configuration.
    Reload(reload::Reload),
    /// Whether a running broker may be given work: exit code 0 or 1, for containers.
    Health(health::Health),
}

/// What the command is called.
pub(super) fn name(order: &Order) -> &'static str {
    match order {
        Order::Clients(_) => "tidewire clients",
        Order::Sessions(_) => "tidewire sessions",
        Order::Streams(_) => "tidewire streams",
        Order::Groups(_) => "tidewire groups",
        Order::Topics(_) => "tidewire topics",
        Order::Retained(_) => "tidewire retained",
        Order::Bridge(_) => "tidewire bridge",
        Order::Reload(_) => "tidewire reload",
        Order::Health(_) => "tidewire health",
    }
}

/// What there is to say, and whether all is well.
pub(super) fn run(order: &Order, sources: &Sources) -> Result<(String, bool), Trouble> {
    match order {
        Order::Clients(asked) => clients::run(asked, sources),
        Order::Sessions(asked) => sessions::run(asked, sources),
        Order::Streams(asked) => streams::run(asked, sources),
        Order::Groups(asked) => groups::run(asked, sources),
        Order::Topics(asked) => topics::run(asked, sources),
        Order::Retained(asked) => retained::run(asked, sources),
        Order::Bridge(asked) => bridge::run(asked, sources),
        Order::Reload(asked) => reload::run(asked, sources),
        Order::Health(asked) => health::run(asked, sources),
    }
}
