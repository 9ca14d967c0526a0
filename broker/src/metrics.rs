//! What is counted: every series is declared once (`series`), its handles are made once.
//! The hot path counts in plain numbers of its own core and flushes them by tick.

mod counted;
pub(crate) mod exposition;
mod family;
mod handles;
mod label;
mod per_core;
mod series;
mod totals;

pub(crate) use counted::Counted;
pub use family::{CounterFamily, GaugeFamily, HistogramFamily, Tally};
pub use handles::Metrics;
pub use label::{
    Backend, CloseReason, Direction, DropReason, FilterFault, HookResult, Label, PacketType,
    Quality, RefuseReason, ReloadResult, SessionState, SignInResult, SubscriptionKind, Throttled,
    TlsFile, TlsListener, TlsResult, TokenFault,
};
pub use per_core::CoreCounters;
pub use series::{Kind, SERIES, Series};
pub(crate) use totals::Totals;

#[cfg(test)]
mod tests;
