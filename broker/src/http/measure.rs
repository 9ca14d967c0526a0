//! What is measured when somebody scrapes: sizes, offsets, and how far readers are behind, all of a
//! kind together. Keeps what it found for a while: many sessions take time to look at.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewire_proto::id::PartitionId;
use tidewire_proto::topic::is_shared;
use tidewire_store::rows::cursor::CursorRow;
use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::rows::{bounds_of, cursor, share, subscription};
use tidewire_store::{ReadError, Store, Table};
use tokio::sync::watch;
use tokio::time::timeout;

use super::ask::ask;
use super::behind::came;
use super::health;
use super::page::{reading, unreadable};
use super::problem::Problem;
use super::site::{Finding, Inside, Site, Stage};
use crate::core::asked::{Asked, Counts};
use crate::lags::Lags;
use crate::metrics::exposition::{head, labels, line, number};
use crate::metrics::{SessionState, SubscriptionKind};
use crate::upkeep::{CONSUMER_GROUPS, SESSIONS};
use crate::wall_clock::wall_clock_ms;

/// It is measured anew after so many milliseconds at least.
const AGAIN_MS: i64 = 5_000;
/// And at most a twentieth of the time is spent with it.
const PATIENCE: i64 = 20;
/// Rows of sessions that are held at a time.
const ROWS_MAX: usize = 256;

/// How long who asks waits for what is being measured if something was measured before.
const WAIT: Duration = Duration::from_secs(3);

/// All of it, as Prometheus reads it. It is measured for whoever asks, and goes on when he has
/// gone: the next one has it.
pub(super) async fn measured(site: &Arc<Site>) -> Finding {
    let shared = &site.inside()?.shared;
    let (last, mut under_way) = match begin(site, shared.clock.elapsed_ms()) {
        (Some(last), None) => return Ok(last),
        (last, under_way) => (last, under_way.ok_or_else(stopping)?),
    };
    let found = async move {
        let found = under_way.wait_for(Option::is_some).await.ok();
        found.and_then(|found| found.clone()).unwrap_or_else(|| Err(stopping()))
    };
    match last {
        None => found.await,
        Some(last) => timeout(WAIT, found).await.unwrap_or(Ok(last)),
    }
}

fn stopping() -> Problem {
    Problem::unavailable("the broker is stopping")
}

/// What was found last, and unless that is good enough, what is under way.
fn begin(
    site: &Arc<Site>,
    now_ms: i64,
) -> (Option<Arc<str>>, Option<watch::Receiver<Option<Finding>>>) {
    let mut measured = site.measured.lock();
    let last = measured.last.clone();
    if last.is_some() && now_ms < measured.again_ms {
        return (last, None);
    }
    let is_going = |under_way: &&watch::Receiver<_>| under_way.has_changed().is_ok();
    if let Some(under_way) = measured.under_way.as_ref().filter(is_going) {
        return (last, Some(under_way.clone()));
    }
    let (found, under_way) = watch::channel(None);
    measured.under_way = Some(under_way.clone());
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let finding = measure(&site).await;
        if let (Err(problem), Stage::Serving) = (&finding, site.stage()) {
            tracing::warn!(detail = problem.detail, "a part of /metrics cannot be measured");
        }
        found.send_replace(Some(finding));
    });
    (last, Some(under_way))
}

async fn measure(site: &Arc<Site>) -> Finding {
    let shared = &site.inside()?.shared;
    let mut counts = Counts::default();
    for core in 0..shared.inboxes.len() {
        let mut from = Some(0);
        while let Some(place) = from {
            let more = ask(shared, core, |answer| Asked::Counts(place, answer)).await?;
            counts.add(&more);
            from = more.next;
        }
    }
    let began = Instant::now();
    let reader = Arc::clone(site);
    let text: Arc<str> = reading(site, move |inside| {
        let look = Look { inside, site: &reader };
        all(&look, &counts).map_err(|error| unreadable(&error))
    })
    .await?
    .into();
    if site.stage() == Stage::Stopping {
        // Not all of it was looked at.
        return Err(stopping());
    }
    let took_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX / PATIENCE);
    let mut measured = site.measured.lock();
    measured.again_ms = shared.clock.elapsed_ms() + AGAIN_MS.max(took_ms * PATIENCE);
    measured.last = Some(Arc::clone(&text));
    Ok(text)
}

/// The broker that is looked at, until it stops.
struct Look<'a> {
    inside: &'a Inside,
    site: &'a Site,
}

impl Look<'_> {
    fn store(&self) -> &Store {
        &self.inside.shared.store
    }

    /// Every row of a table; of a broker that stops no more.
    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), ReadError> {
        self.store().scan(table, Bound::Unbounded, Bound::Unbounded, &mut |key, row| {
            visit(key, row);
            self.go_on()
        })
    }

    fn go_on(&self) -> ControlFlow<()> {
        match self.site.stage() {
            Stage::Stopping => ControlFlow::Break(()),
            Stage::Recovering | Stage::Serving => ControlFlow::Continue(()),
        }
    }
}

/// Gauges, one name after the other.
#[derive(Default)]
struct Page(String);

impl Page {
    fn one(&mut self, name: &str, help: &str, value: f64) {
        self.many(name, help, [(String::new(), value)]);
    }

    fn many(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (String, f64)>) {
        head(&mut self.0, name, "gauge", help);
        for (labels, value) in series {
            line(&mut self.0, name, &labels, &number(value));
        }
    }
}

fn all(look: &Look<'_>, counts: &Counts) -> Result<String, ReadError> {
    let mut page = Page::default();
    of_streams(&mut page, look.store());
    of_clients(&mut page, look, counts)?;
    of_readers(&mut page, look, &counts.behind)?;
    Ok(page.0)
}

/// What is known at once, and before the broker serves too.
pub(super) fn of_broker(site: &Site) -> String {
    let mut page = Page::default();
    let version = labels([("version", env!("CARGO_PKG_VERSION"))].into_iter());
    page.many("tidewire_build_info", "Which build this is.", [(version, 1.0)]);
    let help = "1 while the broker may be given work (/readyz).";
    let ready = health::look(site).is_ready();
    page.one("tidewire_ready", help, f64::from(u8::from(ready)));
    let Ok(inside) = site.inside() else { return page.0 };
    let started_s = inside.shared.started_ms as f64 / 1000.0;
    let help = "When the broker started, in seconds of the Unix epoch.";
    page.one("tidewire_start_time_seconds", help, started_s);
    let help = "1 if the last reload of the configuration took it over, or there was none.";
    let was_well = f64::from(u8::from(inside.reloader.was_well()));
    page.one("tidewire_config_last_reload_success", help, was_well);
    if let Some(free) = health::free_bytes(&inside.in_force.data.dir) {
        let help = "Bytes that are free on the disk of the data folder.";
        page.one("tidewire_disk_free_bytes", help, free as f64);
    }
    let help = "Bytes of the write-ahead log that this start read again.";
    page.one("tidewire_log_recovered_bytes", help, site.recovering.progress().done as f64);
    let damaged = inside.shared.store.quarantined().0 as f64;
    let help = "Damaged places in segments that were met and are not served.";
    page.one("tidewire_log_damaged_places", help, damaged);
    page.0
}

fn of_streams(page: &mut Page, store: &Store) {
    let streams = store.streams();
    let bytes = streams.iter().map(|stream| {
        let bytes: u64 = stream.partitions.iter().map(|id| store.partition_bytes(*id)).sum();
        (labels([("stream", &*stream.name)].into_iter()), bytes as f64)
    });
    page.many("tidewire_log_bytes", "What a stream holds, in bytes.", bytes);
    let refuses = streams.iter().map(|stream| {
        let refuses = stream.partitions.first().is_some_and(|id| store.is_full(*id));
        (labels([("stream", &*stream.name)].into_iter()), f64::from(u8::from(refuses)))
    });
    let help = "1 while a stream refuses messages, because it is full of what nobody has read.";
    page.many("tidewire_log_refuses", help, refuses);
    let bounds = |pick: fn((u64, u64)) -> u64| {
        let mut found = Vec::new();
        for stream in streams.iter() {
            for (index, id) in stream.partitions.iter().enumerate() {
                let number = index.to_string();
                let pairs = [("stream", &*stream.name), ("partition", &*number)];
                let at = pick(store.bounds(*id).unwrap_or_default());
                found.push((labels(pairs.into_iter()), at as f64));
            }
        }
        found
    };
    let help = "The first offset of a partition that is there.";
    page.many("tidewire_log_start_offset", help, bounds(|(start, _)| start));
    let help = "The offset behind the last record of a partition.";
    page.many("tidewire_log_end_offset", help, bounds(|(_, end)| end));
}

fn of_clients(page: &mut Page, look: &Look<'_>, counts: &Counts) -> Result<(), ReadError> {
    let shared = &look.inside.shared;
    let is_here =
        |id: &[u8]| std::str::from_utf8(id).is_ok_and(|id| shared.registry.owner(id).is_some());
    let (mut here, mut away) = (0, 0);
    look.scan(Table::Sessions, &mut |key, _| if is_here(key) { here += 1 } else { away += 1 })?;
    let (mut plain, mut of_groups) = (counts.plain, counts.shared);
    look.scan(Table::Subscriptions, &mut |key, _| {
        let client = key.split(|byte| *byte == 0).next().unwrap_or_default();
        if !is_here(client) {
            let filter = key.get(client.len() + 1..).unwrap_or_default();
            let is_of_group = std::str::from_utf8(filter).is_ok_and(is_shared);
            if is_of_group { of_groups += 1 } else { plain += 1 }
        }
    })?;
    let metrics = &shared.metrics;
    metrics.connections_open.set(counts.clients.iter().sum::<u64>() as f64);
    metrics.sessions.set(SessionState::Connected, f64::from(here));
    metrics.sessions.set(SessionState::Disconnected, f64::from(away));
    metrics.subscriptions.set(SubscriptionKind::Plain, plain as f64);
    metrics.subscriptions.set(SubscriptionKind::Shared, of_groups as f64);
    let versions = ["3.1", "3.1.1", "5"].into_iter().zip(counts.clients);
    let versions =
        versions.map(|(version, count)| (labels([("proto", version)].into_iter()), count as f64));
    let help = "Clients that are connected, by version of MQTT.";
    page.many("tidewire_mqtt_clients", help, versions);
    let help = "Connected clients that read the log behind what is published.";
    page.one("tidewire_clients_behind", help, counts.behind.readers as f64);
    let help = "Messages on their way to connected clients that were not acknowledged.";
    page.one("tidewire_messages_in_flight", help, counts.in_flight as f64);
    Ok(())
}

/// How far all readers of a kind are behind.
fn show(lags: &Lags, page: &mut Page, store: &Store, (kind, whose): (&str, &str)) {
    let oldest = lags.unread.iter().filter_map(|(id, first)| came(store, *id, *first)).min();
    let waited_ms = oldest.map_or(0, |at| wall_clock_ms().saturating_sub(at).max(0));
    let name = |rest: &str| format!("tidewire_{kind}_lag_{rest}");
    let help = format!("Records behind, of {whose} that is furthest behind.");
    page.one(&name("messages_max"), &help, lags.max as f64);
    let help = format!("Records behind, of each {whose}, together.");
    page.one(&name("messages"), &help, lags.sum as f64);
    let help = format!("How long ago the first record came that some {whose} has not read.");
    page.one(&name("seconds_max"), &help, waited_ms as f64 / 1000.0);
}

fn of_readers(page: &mut Page, look: &Look<'_>, here: &Lags) -> Result<(), ReadError> {
    let store = look.store();
    show(&sessions(look)?, page, store, ("session", "session whose client is away"));
    show(here, page, store, ("client", "connected client"));
    let shares = share_groups(look)?;
    let help = "Share groups that outlast their members.";
    page.one("tidewire_share_groups", help, shares.readers as f64);
    show(&shares, page, store, ("share_group", "share group"));
    let groups = consumer_groups(look)?;
    let help = "Consumer groups that committed an offset.";
    page.one("tidewire_consumer_groups", help, groups.readers as f64);
    show(&groups, page, store, ("consumer_groups", "consumer group"));
    let (forecasts, now_ms) = (&look.inside.shared.forecasts, wall_clock_ms());
    let unread: Vec<_> = here.unread.iter().map(|(id, first)| (*id, *first)).collect();
    let loss = [
        ("sessions", forecasts.of_reader(SESSIONS, now_ms)),
        ("clients", forecasts.of_places(&unread, now_ms)),
        ("consumer_groups", forecasts.of_reader(CONSUMER_GROUPS, now_ms)),
    ];
    let loss = loss.into_iter().map(|(word, seconds)| {
        (labels([("readers", word)].into_iter()), seconds.map_or(-1.0, |seconds| seconds as f64))
    });
    let help = "Seconds until readers of a kind lose what they have not read; -1: they do not.";
    page.many("tidewire_seconds_to_data_loss", help, loss);
    Ok(())
}

/// Rows of connected clients lag behind what they have read: only those of others say how far.
fn sessions(look: &Look<'_>) -> Result<Lags, ReadError> {
    let (mut lags, mut from) = (Lags::default(), Some(Box::default()));
    let bounds = |id| look.store().bounds(id);
    while let Some(first) = from {
        let (page, next) = away(look, &first)?;
        for (client, row) in page {
            if subscribes(look.store(), &client)? {
                // What its share groups gave it is theirs, and what is retained was never unread.
                let own = row.exchanges.iter().map(|(_, exchange)| exchange);
                let own = own.filter(|exchange| exchange.group.is_none() && !exchange.retain);
                let held = own.map(|exchange| exchange.place).filter(|place| {
                    // The others are unread.
                    place.offset < row.positions.get(place.partition)
                });
                lags.add(&bounds, row.positions.iter(), held);
            }
        }
        from = next.filter(|_| look.go_on().is_continue());
    }
    Ok(lags)
}

/// Some sessions whose clients are away, and where it goes on: a row may say much.
type Away = (Vec<(String, CursorRow)>, Option<Box<[u8]>>);

/// From this key on.
fn away(look: &Look<'_>, from: &[u8]) -> Result<Away, ReadError> {
    let (mut page, mut next) = (Vec::new(), None);
    let (from, to) = (Bound::Included(from), Bound::Unbounded);
    look.store().scan(Table::Cursors, from, to, &mut |key, row| {
        if page.len() >= ROWS_MAX {
            next = Some(key.into());
            return ControlFlow::Break(());
        }
        let client = std::str::from_utf8(key).ok();
        let client = client.filter(|id| look.inside.shared.registry.owner(id).is_none());
        page.extend(client.and_then(|client| Some((client.to_owned(), cursor::decode(row).ok()?))));
        look.go_on()
    })?;
    Ok((page, next))
}

/// A session that subscribes to nothing by itself waits for nothing.
fn subscribes(store: &Store, client: &str) -> Result<bool, ReadError> {
    let ((from, to), mut found) = (bounds_of(client), false);
    let (from, to) = (Bound::Included(&*from), Bound::Excluded(&*to));
    store.scan(Table::Subscriptions, from, to, &mut |key, _| {
        found = subscription::filter(client, key).is_ok_and(|filter| !is_shared(filter));
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

fn share_groups(look: &Look<'_>) -> Result<Lags, ReadError> {
    let (mut lags, bounds) = (Lags::default(), |id| look.store().bounds(id));
    look.scan(Table::Shares, &mut |key, row| {
        if let (Ok(share::Key::Group(_)), Ok(row)) =
            (share::Key::decode(key), share::GroupRow::decode(row))
        {
            let held = row.unfinished.iter().map(|one| one.place);
            lags.add(&bounds, row.positions.iter(), held);
        }
    })?;
    Ok(lags)
}

fn consumer_groups(look: &Look<'_>) -> Result<Lags, ReadError> {
    let (streams, mut lags) = (look.store().streams(), Lags::default());
    let mut groups: BTreeMap<String, Vec<(PartitionId, u64)>> = BTreeMap::new();
    look.scan(Table::GroupOffsets, &mut |key, row| {
        if let (Ok(key), Ok(row)) = (OffsetKey::decode(key), OffsetRow::decode(row)) {
            let stream = streams.iter().find(|stream| stream.name == key.topic);
            let id = stream.and_then(|stream| stream.partitions.get(key.partition as usize));
            let positions = groups.entry(key.group.into()).or_default();
            positions.extend(id.map(|id| (*id, row.offset)));
        }
    })?;
    for positions in groups.into_values() {
        lags.add(&|id| look.store().bounds(id), positions.into_iter(), std::iter::empty());
    }
    Ok(lags)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Site, begin};
    use crate::config::Config;
    use crate::http::gate::Gate;
    use crate::http::numbers::HttpNumbers;

    #[tokio::test]
    async fn all_who_ask_wait_for_one_measurement_which_goes_on_without_them() {
        let gate = Gate { tokens: None, takes_anonymous: true };
        let site = Site::new(gate, &Config::default(), (HttpNumbers::register(), None));
        let site = Arc::new(site);
        let under_way = |now_ms| begin(&site, now_ms).1;
        let first = under_way(0).expect("nothing was measured");
        let second = under_way(0).expect("nothing was measured");
        assert!(first.same_channel(&second), "one at a time");
        drop((first, second));
        let mut third = under_way(0).expect("nothing was measured");
        let found = third.wait_for(Option::is_some).await.expect("it goes on").clone();
        assert!(found.is_some_and(|found| found.is_err()), "there is no broker behind this port");
        while third.has_changed().is_ok() {
            tokio::task::yield_now().await;
        }
        let again = under_way(0).expect("nothing was found");
        assert!(!again.same_channel(&third), "what failed is tried again");
        {
            let mut measured = site.measured.lock();
            measured.last = Some("old".into());
            measured.again_ms = 10;
        }
        assert!(matches!(begin(&site, 9), (Some(last), None) if &*last == "old"));
        assert!(matches!(begin(&site, 10), (Some(last), Some(_)) if &*last == "old"));
    }
}
