//! What is counted: every series is declared once (`series`), its handles are made once.
//! The hot path counts in plain numbers of its own core and flushes them by tick.

mod counted;
mod family;
mod handles;
mod label;
mod per_core;
mod series;

pub(crate) use counted::Counted;
pub use family::{CounterFamily, GaugeFamily, Tally};
pub use handles::Metrics;
pub use label::{
    Backend, CloseReason, Direction, DropReason, HookResult, Label, PacketType, Quality,
    RefuseReason, ReloadResult, SessionState, SignInResult, SubscriptionKind, Throttled, TlsFile,
    TlsListener, TlsResult, TokenFault,
};
pub use per_core::CoreCounters;
pub use series::{Kind, SERIES, Series};

#[cfg(test)]
mod tests;
