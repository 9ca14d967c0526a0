//! How many sessions and subscriptions there are: those of connected clients as cores count them,
//! all others by their rows. Changes nothing.

use std::ops::{Bound, ControlFlow};

use tidewire_proto::topic::is_shared;
use tidewire_store::{ReadError, Table};

use crate::core::asked::Counts;
use crate::core::shared::Shared;

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Sessions that outlive their connections, and have one.
    pub(crate) here: u64,
    /// Those that have none.
    pub(crate) away: u64,
    /// Subscriptions that are not shared.
    pub(crate) plain: u64,
    /// Shared ones.
    pub(crate) shared: u64,
}

impl Census {
    /// Reads the tables. `counts`: what the cores say.
    pub(crate) fn take(shared: &Shared, counts: &Counts) -> Result<Self, ReadError> {
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let is_here =
            |id: &[u8]| std::str::from_utf8(id).is_ok_and(|id| shared.registry.owner(id).is_some());
        let mut found = Self { plain: counts.plain, shared: counts.shared, ..Self::default() };
        shared.store.scan(Table::Sessions, everything.0, everything.1, &mut |key, _| {
            *if is_here(key) { &mut found.here } else { &mut found.away } += 1;
            ControlFlow::Continue(())
        })?;
        shared.store.scan(Table::Subscriptions, everything.0, everything.1, &mut |key, _| {
            let client = key.split(|byte| *byte == 0).next().unwrap_or_default();
            if !is_here(client) {
                let filter = key.get(client.len() + 1..).unwrap_or_default();
                let is_of_group = std::str::from_utf8(filter).is_ok_and(is_shared);
                *if is_of_group { &mut found.shared } else { &mut found.plain } += 1;
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}
