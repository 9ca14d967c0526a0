//! Users and groups of this machine, as `/etc/passwd` and `/etc/group` name them. Asks no directory
//! service: whoever has one names numbers.

use std::fs;
use std::io;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    /// The group of its own; `None` where only a number is known.
    pub(crate) gid: Option<u32>,
    /// What other groups name it by.
    name: Option<String>,
}

/// Why a name stands for nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    /// It is in neither file.
    #[error("{0:?} is not in {1}, and no number")]
    Unknown(String, &'static str),
    /// The file cannot be read.
    #[error("{0} cannot be read")]
    Read(&'static str, #[source] io::Error),
}

/// A user, by name or by number.
pub(crate) fn user(said: &str) -> Result<Account, AccountError> {
    let text = read(USERS)?;
    find_user(&text, said).ok_or_else(|| AccountError::Unknown(said.into(), USERS))
}

/// A group, by name or by number.
pub(crate) fn group(said: &str) -> Result<u32, AccountError> {
    let text = read(GROUPS)?;
    find_group(&text, said).ok_or_else(|| AccountError::Unknown(said.into(), GROUPS))
}

/// The groups that name this user as a member, besides its own.
pub(crate) fn groups_of(account: &Account) -> Result<Vec<u32>, AccountError> {
    let Some(name) = &account.name else { return Ok(Vec::new()) };
    Ok(find_memberships(&read(GROUPS)?, name))
}

fn read(file: &'static str) -> Result<String, AccountError> {
    fs::read_to_string(file).map_err(|error| AccountError::Read(file, error))
}

/// Lines are `name:password:uid:gid:…`.
fn find_user(text: &str, said: &str) -> Option<Account> {
    let number: Option<u32> = said.parse().ok();
    let mut known = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        Some(Account { uid, gid: fields.next()?.parse().ok(), name: Some(name.into()) })
    });
    let is_meant = |account: &Account| match number {
        Some(number) => account.uid == number,
        None => account.name.as_deref() == Some(said),
    };
    let unnamed = number.map(|uid| Account { uid, gid: None, name: None });
    known.find(is_meant).or(unnamed)
}

/// Lines are `name:password:gid:member,member`.
fn find_group(text: &str, said: &str) -> Option<u32> {
    let mut known = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
    });
    said.parse().ok().or_else(|| known.find(|(name, _)| *name == said).map(|(_, gid)| gid))
}

fn find_memberships(text: &str, user: &str) -> Vec<u32> {
    let member = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let gid = fields.next()?.parse().ok()?;
        fields.next()?.split(',').any(|name| name.trim() == user).then_some(gid)
    };
    text.lines().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::{Account, find_group, find_memberships, find_user};

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\n\
                         tidewire:x:990:985::/var/lib/tidewire:/usr/sbin/nologin\n";
    const GROUPS: &str = "root:x:0:\nssl-cert:x:110:postgres,tidewire\nodd:x\n\
                          tidewire:x:985:\ntide:x:986:tidewire-too\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let tidewire = Account { uid: 990, gid: Some(985), name: Some("tidewire".into()) };
        assert_eq!(find_user(USERS, "tidewire"), Some(tidewire.clone()));
        assert_eq!(find_user(USERS, "990"), Some(tidewire));
        assert_eq!(find_user(USERS, "4711"), Some(Account { uid: 4711, gid: None, name: None }));
        for nobody in ["broken", "tide", "", "-1", "990 "] {
            assert_eq!(find_user(USERS, nobody), None, "{nobody:?}");
        }
    }

    #[test]
    fn groups_are_found_by_name_by_number_and_by_member() {
        assert_eq!(find_group(GROUPS, "ssl-cert"), Some(110));
        assert_eq!(find_group(GROUPS, "12"), Some(12));
        assert_eq!(find_group(GROUPS, "odd"), None);
        assert_eq!(find_memberships(GROUPS, "tidewire"), [110]);
        assert!(find_memberships(GROUPS, "nobody").is_empty());
    }
}
