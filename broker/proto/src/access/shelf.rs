//! Rules by whom they can be for, so that a subject is not compared with each. Decides nothing.

use ahash::AHashMap;

use super::rule::{Condition, Name, Rule};
use super::subject::Subject;

/// Numbers of rules.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    of_users: AHashMap<Box<str>, Vec<u32>>,
    of_clients: AHashMap<Box<str>, Vec<u32>>,
    rest: Vec<u32>,
}

impl Shelf {
    pub(super) fn of(rules: &[Rule]) -> Self {
        let mut shelf = Self::default();
        for (number, rule) in (0..).zip(rules) {
            let user = rule.who.iter().find_map(|condition| match condition {
                Condition::User(user) => Some(user.clone()),
                _ => None,
            });
            let client = rule.who.iter().find_map(|condition| match condition {
                Condition::Client(Name::Is(client)) => Some(client.clone()),
                _ => None,
            });
            match (user, client) {
                (Some(user), _) => shelf.of_users.entry(user).or_default().push(number),
                (None, Some(client)) => shelf.of_clients.entry(client).or_default().push(number),
                (None, None) => shelf.rest.push(number),
            }
        }
        shelf
    }

    /// Those that name no user and no client, in their order.
    pub(super) fn common(&self) -> &[u32] {
        &self.rest
    }

    /// Those that name this one, in their order.
    pub(super) fn own(&self, subject: &Subject) -> Vec<u32> {
        let of_user = subject.named_user().and_then(|user| self.of_users.get(user));
        let of_client = self.of_clients.get(&*subject.client_id);
        let mut found: Vec<u32> = of_user.into_iter().chain(of_client).flatten().copied().collect();
        found.sort_unstable();
        found
    }
}
