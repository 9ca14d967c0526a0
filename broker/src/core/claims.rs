//! Filters that a session has for itself: given up with it, and put right against its rows.

use std::sync::Arc;

use tidewire_store::rows::subscription;
use tidewire_store::{ReadError, Table};

use crate::core::denial::FilterDenial;
use crate::core::open::{ConnId, Open};
use crate::core::state::Core;
use crate::core::turn::Waiting;
use crate::exclusive::GivenUp;
use crate::metrics::FilterFault;
use crate::topic_rules::EXCLUSIVE;

/// What gives a filter another meaning, and none behind `$exclusive/`.
const KINDS: [&str; 4] = ["$share/", "$queue/", "$s/", EXCLUSIVE];

impl Core {
    /// A filter is subscribed to, by one session alone or (no longer) so.
    pub(crate) fn settle_exclusive(
        &mut self,
        id: ConnId,
        filter: &str,
        is_exclusive: bool,
    ) -> Result<(), FilterDenial> {
        let Some(open) = self.open(id) else { return Ok(()) };
        let (client_id, has_rows) = (Arc::clone(&open.client_id), open.is_durable());
        if is_exclusive {
            if KINDS.iter().any(|kind| filter.starts_with(kind)) {
                let fault = FilterFault::Combination;
                return Err(FilterDenial::new(fault, "only a plain filter can be exclusive"));
            }
            let is_ours = self.shared.exclusives.claim(filter, &client_id);
            let taken = "another session has the filter for itself";
            return is_ours.then_some(()).ok_or(FilterDenial::new(FilterFault::Taken, taken));
        }
        if open.subscriptions.get(filter).is_some_and(|old| old.is_exclusive) {
            self.give_up(filter, &client_id, has_rows);
        }
        Ok(())
    }

    /// Gives a filter up. A session without rows has nothing to wait for; the filters of others
    /// are free when this turn's commit is durable.
    pub(crate) fn give_up(&mut self, filter: &str, client_id: &str, has_rows: bool) {
        let Some(given_up) = self.shared.exclusives.give_up(filter, client_id) else { return };
        if has_rows {
            self.turn.waiting.push(Waiting::Freed(vec![given_up]));
        } else {
            self.shared.exclusives.free(&given_up);
        }
    }

    /// Filters were given up, durably. Where a row says otherwise, an earlier commit that was to
    /// delete it was refused: the session still has the filter.
    pub(crate) fn free_all(&self, all: &[GivenUp]) {
        for given_up in all {
            match self.has_exclusive_row(&given_up.owner, &given_up.filter) {
                Ok(false) => self.shared.exclusives.free(given_up),
                Ok(true) => (),
                Err(error) => tracing::error!(%error, "a subscription cannot be read"),
            }
        }
    }

    fn has_exclusive_row(&self, client_id: &str, filter: &str) -> Result<bool, ReadError> {
        let key = subscription::key(client_id, filter);
        let row = self.shared.store.get(Table::Subscriptions, &key)?;
        let found = row.and_then(|row| subscription::decode(&row).ok());
        Ok(found.is_some_and(|found| found.is_exclusive))
    }

    /// The session is over: so are all its claims.
    pub(crate) fn give_up_all(&mut self, client_id: &str, has_rows: bool) {
        for filter in self.shared.exclusives.of(client_id) {
            self.give_up(&filter, client_id, has_rows);
        }
    }

    /// Nobody else writes the rows of this client now: it has the claims that they say.
    pub(crate) fn settle_claims(&mut self, client_id: &str) -> Result<(), ReadError> {
        for filter in self.shared.exclusives.of(client_id) {
            if !self.has_exclusive_row(client_id, &filter)? {
                self.give_up(&filter, client_id, false);
            }
        }
        Ok(())
    }

    /// A session that comes back has its filters for itself, or not at all.
    pub(crate) fn keep_claims(&mut self, open: &mut Open) {
        let client_id = Arc::clone(&open.client_id);
        let exclusive = open.subscriptions.iter().filter(|(_, it)| it.is_exclusive);
        let lost: Vec<Box<str>> = exclusive
            .filter(|(filter, _)| !self.shared.exclusives.claim(filter, &client_id))
            .map(|(filter, _)| filter.into())
            .collect();
        for filter in lost {
            tracing::warn!(
                client_id = &*client_id,
                filter = &*filter,
                "another session has this filter for itself"
            );
            open.subscriptions.remove(&filter);
            let key = subscription::key(&client_id, &filter);
            self.turn.put(Table::Subscriptions, key, None);
        }
    }
}
