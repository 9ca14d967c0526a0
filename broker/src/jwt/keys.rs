//! All keys that are known now, and which of them a token may have been signed with. Reads none.

use super::algorithm::Family;
use super::fault::Fault;
use super::key::Key;
use super::token::Token;

/// Keys that are tried for one token.
const TRIED_MAX: usize = 16;

/// Keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// Of files.
    pub(crate) own: Vec<Key>,
    /// That were fetched; `None`: nothing has come yet.
    pub(crate) fetched: Option<Vec<Key>>,
    /// More may be fetched.
    pub(crate) may_come: bool,
}

impl Keys {
    /// Whether one of them has signed it.
    pub(crate) fn check(&self, token: &Token<'_>) -> Result<(), Fault> {
        let mut kin = self.all().filter(|key| key.is_for(token.algorithm)).peekable();
        if kin.peek().is_none() {
            // Of a secret no part is ever fetched.
            let may_come = self.may_come && token.algorithm.family() != Family::Hmac;
            return Err(if may_come { Fault::UnknownKey } else { Fault::Algorithm });
        }
        let is_meant = |key: &&Key| match (&key.id, &token.key_id) {
            (Some(id), Some(named)) => **id == **named,
            // Who says no name may mean any.
            _ => true,
        };
        let mut meant = kin.filter(is_meant).take(TRIED_MAX).peekable();
        if meant.peek().is_none() {
            return Err(Fault::UnknownKey);
        }
        let by = token.algorithm;
        let is_right = meant.any(|key| key.has_signed(by, token.message, &token.signature));
        match is_right {
            true => Ok(()),
            // The key that it names may be a new one, whatever keys without a name there are.
            false if self.may_come && self.is_unknown(token) => Err(Fault::UnknownKey),
            false => Err(Fault::Signature),
        }
    }

    /// Whether it names a key that none of ours is.
    fn is_unknown(&self, token: &Token<'_>) -> bool {
        let Some(named) = &token.key_id else { return false };
        let is_it = |key: &Key| key.id.as_deref() == Some(&**named);
        token.algorithm.family() != Family::Hmac && !self.all().any(is_it)
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        self.own.iter().chain(self.fetched.iter().flatten())
    }
}
