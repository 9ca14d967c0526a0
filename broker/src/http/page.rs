//! Pages of long lists: where to go on, how many at a time, and reading away from the port's
//! thread. Knows no list.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidewire_store::{ReadError, Store, Table};

use super::problem::Problem;
use super::route::{Call, Param, query};
use super::site::{Inside, Site};

/// Items of a page, when nothing is said of it.
const ITEMS: usize = 100;
/// Items of the largest page.
const ITEMS_MAX: usize = 1_000;
/// Rows that are looked at for one page: of a list of which little is wanted, a page may be empty
/// and the next one not.
const LOOKS_MAX: usize = 20_000;

/// How a list is paged, for the table.
pub(super) const LIMIT: Param =
    query("limit", "How many at most, from 1 to 1000; 100 if not said.");
/// The same.
pub(super) const CURSOR: Param = query(
    "cursor",
    "Where to go on: `next` of the page before. A page may hold fewer than the \
                     limit, even none; the list is over when `next` is null.",
);

/// What page is wanted.
pub(super) struct Wanted {
    pub(super) limit: usize,
    /// Behind this.
    pub(super) after: Option<Vec<u8>>,
}

impl Wanted {
    pub(super) fn of(call: &Call) -> Result<Self, Problem> {
        let limit = call.number("limit")?.unwrap_or(ITEMS);
        if !(1..=ITEMS_MAX).contains(&limit) {
            return Err(Problem::invalid(format!("limit is from 1 to {ITEMS_MAX}")));
        }
        let decode = |said: &str| {
            let after = URL_SAFE_NO_PAD.decode(said);
            after.map_err(|_| Problem::invalid("the cursor is not one that was given here"))
        };
        let after = call.query("cursor").map(decode).transpose()?;
        Ok(Self { limit, after })
    }
}

/// Where to go on, as it is said.
pub(super) fn cursor(after: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(after)
}

/// What is made of a key and its row, if it is wanted.
type Pick<'a, T> = dyn FnMut(&[u8], &[u8]) -> Option<T> + 'a;

/// A page of a table's rows, those between the bounds that `pick` makes something of; and where to
/// go on.
pub(super) fn rows<T>(
    store: &Store,
    table: Table,
    wanted: &Wanted,
    (from, to): (Option<&[u8]>, Option<&[u8]>),
    pick: &mut Pick<'_, T>,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let (mut found, mut looks, mut last) = (Vec::new(), 0, None);
    let start = match (&wanted.after, from) {
        (Some(after), Some(from)) if &**after < from => Bound::Included(from),
        (Some(after), _) => Bound::Excluded(&**after),
        (None, Some(from)) => Bound::Included(from),
        (None, None) => Bound::Unbounded,
    };
    if let (Bound::Excluded(at) | Bound::Included(at), Some(to)) = (start, to)
        && at >= to
    {
        return Ok((found, None));
    }
    let end = to.map_or(Bound::Unbounded, Bound::Excluded);
    let scanned = store.scan(table, start, end, &mut |key, row| {
        if found.len() >= wanted.limit || looks >= LOOKS_MAX {
            return ControlFlow::Break(());
        }
        looks += 1;
        last = Some((key.to_vec(), looks));
        found.extend(pick(key, row));
        ControlFlow::Continue(())
    });
    scanned.map_err(|error| unreadable(&error))?;
    let is_full = found.len() >= wanted.limit || looks >= LOOKS_MAX;
    let next = last.filter(|_| is_full).map(|(key, _)| cursor(&key));
    Ok((found, next))
}

/// What the store could not read.
pub(super) fn unreadable(error: &ReadError) -> Problem {
    let detail = format!("the store cannot be read: {error}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", detail)
}

/// Does something that may wait for the disk, away from the port's thread.
pub(super) async fn reading<T: Send + 'static>(
    site: &Arc<Site>,
    read: impl FnOnce(&Inside) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let stopped = || Problem::unavailable("the broker is stopping");
    let reader = Arc::clone(&site.readers).acquire_owned().await.map_err(|_| stopped())?;
    let site = Arc::clone(site);
    let reading = tokio::task::spawn_blocking(move || {
        // Held until it is over, also when nobody waits for it any more.
        let _reader = reader;
        read(site.inside()?)
    });
    reading.await.map_err(|_| stopped())?
}
