//! Reads the transactional ids from the store at a start. Changes nothing there.

use std::ops::{Bound, ControlFlow};

use tidewire_store::rows::transaction::TransactionRow;
use tidewire_store::{ReadError, Store, Table};

use crate::held::HeldBatch;
use crate::transactions::{Limits, Transactions};

/// All there are. A row that cannot be read is named and left where it is.
pub(super) fn read(store: &Store, limits: Limits) -> Result<Transactions<HeldBatch>, ReadError> {
    let mut transactions = Transactions::new(limits);
    let (from, to) = (Bound::Unbounded, Bound::Unbounded);
    store.scan(Table::Transactions, from, to, &mut |key, value| {
        match (std::str::from_utf8(key), TransactionRow::decode(value)) {
            (Ok(id), Ok(row)) => transactions.restore(id, row),
            (id, _) => tracing::error!(?id, "the row of a transactional id is damaged"),
        }
        ControlFlow::Continue(())
    })?;
    Ok(transactions)
}
