//! Ids that groups give to their members. Never given twice.

use std::sync::Arc;

use uuid::Builder;

/// What an id keeps of the client's own name.
const NAME_CHARS_MAX: usize = 64;

/// A new one; `None` if the system has no random numbers.
pub(crate) fn member_id(client_id: &str) -> Option<Arc<str>> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    let unique = Builder::from_random_bytes(random).into_uuid();
    let name: String = client_id.chars().take(NAME_CHARS_MAX).collect();
    Some(format!("{name}-{unique}").into())
}
