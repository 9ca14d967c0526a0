//! Which cluster we are: a name made once and kept with the data. Never changes it.

use std::fmt::Write;
use std::io;

use tidewire_store::{Commit, ReadError, Store, Table, TableChange};

/// The row of [`Table::Meta`] that holds it.
const KEY: &[u8] = b"cluster-id";

/// Why there is no name.
#[derive(Debug)]
pub(crate) enum NoIdentity {
    /// The tables cannot be read.
    Tables(ReadError),
    /// The system gives no random bytes.
    Random(io::Error),
}

/// The name of the cluster; made when there is none.
pub(crate) fn cluster_id(store: &Store) -> Result<String, NoIdentity> {
    if let Some(row) = store.get(Table::Meta, KEY).map_err(NoIdentity::Tables)? {
        return Ok(String::from_utf8_lossy(&row).into_owned());
    }
    let mut random = [0; 16];
    let failed = |error| NoIdentity::Random(io::Error::other(error));
    getrandom::fill(&mut random).map_err(failed)?;
    let id = random.iter().fold(String::new(), |mut id, byte| {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    });
    let change = TableChange::new(Table::Meta, KEY.into(), Some(id.as_bytes().into())).that_stays();
    let commit = Commit { appends: Vec::new(), changes: vec![change] };
    // Durable before anybody asks again, or there would be two of it.
    store.commit(commit).map_err(|error| NoIdentity::Random(io::Error::other(error)))?;
    Ok(id)
}
