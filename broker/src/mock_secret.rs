//! What credentials of users who do not exist are made of: drawn once and kept with the data, so
//! that they are the same whatever is done to the file of users. Never says it.

use tidewire_store::{Commit, ReadError, Store, Table, TableChange};

/// The row of [`Table::Meta`] that holds it.
const KEY: &[u8] = b"scram-mock-secret";

pub(crate) const SECRET_BYTES: usize = 32;

/// The secret of this data folder; made when there is none. `None` when the system has no
/// randomness to give.
pub(crate) fn mock_secret(store: &Store) -> Result<Option<[u8; SECRET_BYTES]>, ReadError> {
    if let Some(row) = store.get(Table::Meta, KEY)?
        && let Ok(secret) = <[u8; SECRET_BYTES]>::try_from(&*row)
    {
        return Ok(Some(secret));
    }
    let mut secret = [0; SECRET_BYTES];
    if getrandom::fill(&mut secret).is_err() {
        return Ok(None);
    }
    let row = TableChange::new(Table::Meta, KEY.into(), Some(secret.into())).that_stays();
    // Its outcome is in order before all that anybody is answered later.
    store.submit(Commit { appends: Vec::new(), changes: vec![row] }, None);
    Ok(Some(secret))
}

#[cfg(test)]
mod tests {
    use super::{KEY, mock_secret};
    use crate::core::alone::Alone;
    use crate::users::{UsersFile, lines};
    use tidewire_proto::scram::Method;
    use tidewire_store::Table;

    #[test]
    fn who_does_not_exist_is_challenged_alike_whatever_becomes_of_the_file() {
        let alone = Alone::new(|_| ());
        let secret = mock_secret(&alone.store).expect("readable").expect("random");
        alone.store.turn();
        assert!(alone.store.get(Table::Meta, KEY).expect("readable").is_some());
        assert_eq!(mock_secret(&alone.store).expect("readable"), Some(secret), "the same again");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        let add = |user| lines(user, "secret", 4_096).expect("a line") + "\n";
        std::fs::write(&path, add("ann")).expect("written");
        let file = UsersFile::open(&path).expect("a good file");
        file.keep_secret(secret);
        let before = file.users().find(Method::Sha256, "nobody");
        std::fs::write(&path, add("ann") + &add("bob")).expect("written");
        file.reload();
        assert_eq!(file.users().len(), 4, "a line for each hash");
        assert!(file.users().find(Method::Sha256, "nobody") == before);
        let other = UsersFile::open(&path).expect("a good file");
        other.keep_secret([7; 32]);
        assert!(
            other.users().find(Method::Sha256, "nobody") != before,
            "only this folder knows it"
        );
    }
}
