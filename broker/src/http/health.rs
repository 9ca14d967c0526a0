//! Whether the broker does what it is there for, and what is in its way, in words. Changes nothing.

use std::path::Path;

use tidewire_store::Health;
use tidewire_store::inspect::Progress;

use super::shape::view;
use super::site::{Inside, Site, Stage};

view! {
    /// Something that is in the way, or will be.
    Reason {
        /// One word for programs: `recovering`, `stopping`, `store_failed`, `broken`, `disk_full`,
        /// `stream_full`, `damaged_segments`, `bridge_down`.
        code: String,
        /// What it is, and what to do.
        detail: String,
        /// Whether the broker is not to be given work because of it.
        blocks: bool,
    }
}

view! {
    /// How the broker is.
    HealthReport {
        /// `ready`, `degraded` (there are reasons, none of which blocks) or `unready`.
        status: String,
        /// Why it is not simply ready.
        reasons: Vec<Reason>,
    }
}

impl HealthReport {
    /// Whether work may be given to the broker.
    pub(super) fn is_ready(&self) -> bool {
        self.reasons.iter().all(|reason| !reason.blocks)
    }

    /// For who has no role: paths, names and what others said are not for him.
    pub(super) fn hide(&mut self) {
        let is_open = |code: &str| matches!(code, "recovering" | "stopping");
        for reason in self.reasons.iter_mut().filter(|reason| !is_open(&reason.code)) {
            reason.detail = "for who brings a token: see docs/http.md".into();
        }
    }

    fn of(reasons: Vec<Reason>) -> Self {
        let blocks = reasons.iter().any(|reason| reason.blocks);
        let status = match (reasons.is_empty(), blocks) {
            (true, _) => "ready",
            (false, false) => "degraded",
            (false, true) => "unready",
        };
        Self { status: status.into(), reasons }
    }
}

fn reason(code: &str, detail: impl Into<String>, blocks: bool) -> Reason {
    Reason { code: code.into(), detail: detail.into(), blocks }
}

/// Looks.
pub(super) fn look(site: &Site) -> HealthReport {
    let mut reasons = Vec::new();
    match site.stage() {
        Stage::Recovering => {
            reasons.push(reason("recovering", of_recovery(site.recovering.progress()), true));
        }
        Stage::Stopping => reasons.push(reason("stopping", "the broker was told to stop", true)),
        Stage::Serving => (),
    }
    if let Ok(inside) = site.inside() {
        reasons.extend(of_store(inside));
        reasons.extend(of_streams(inside));
        reasons.extend(of_bridges(inside));
    }
    HealthReport::of(reasons)
}

fn of_recovery(Progress { done, total }: Progress) -> String {
    let words = "the data folder is being opened, and its log read again";
    match total {
        0 => words.into(),
        total => format!("{words}: {done} of {total} bytes"),
    }
}

fn of_store(inside: &Inside) -> Vec<Reason> {
    let (shared, config) = (&inside.shared, &inside.in_force);
    let mut reasons = Vec::new();
    if *shared.failed.borrow() {
        let words = "a part of the broker ended in a panic: restart it; see its log";
        reasons.push(reason("broken", words, true));
    }
    if let Health::Failed(why) = shared.store.health() {
        let words = format!("the store writes no more: {why}; mend the disk and restart");
        reasons.push(reason("store_failed", words, true));
    }
    let needed = config.store.wal_file_bytes;
    if let Some(free) = free_bytes(&config.data.dir).filter(|free| *free < needed) {
        let words = format!(
            "{free} bytes are free on the disk of {}, fewer than one file of the log takes \
             (store.wal_file_bytes)",
            config.data.dir.display()
        );
        reasons.push(reason("disk_full", words, true));
    }
    let (count, first) = shared.store.quarantined();
    if count > 0 {
        let named = first.first().map(|one| format!(", such as {one:?}")).unwrap_or_default();
        let words = format!(
            "{count} damaged places in segments are not served{named}; see `tidewire log verify`"
        );
        reasons.push(reason("damaged_segments", words, false));
    }
    reasons
}

/// How many bytes are free for us on the disk of a folder.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn of_streams(inside: &Inside) -> Vec<Reason> {
    let store = &inside.shared.store;
    let streams = store.streams();
    let full = streams.iter().filter(|stream| {
        stream.partitions.first().is_some_and(|partition| store.is_full(*partition))
    });
    let told = full.map(|stream| {
        let words = format!(
            "stream {:?} is full of what its readers have not read, and refuses messages",
            stream.name
        );
        reason("stream_full", words, false)
    });
    told.collect()
}

fn of_bridges(inside: &Inside) -> Vec<Reason> {
    let down = |status: &tidewire_bridge::bridges::Status| {
        matches!(
            status.state,
            tidewire_bridge::bridges::State::Waiting { .. }
                | tidewire_bridge::bridges::State::Failed
        )
    };
    let statuses = inside.bridges.statuses();
    let told = statuses.iter().filter(|status| down(status)).map(|status| {
        let why = status.last_error.as_ref().map_or("", |trouble| &trouble.words);
        reason("bridge_down", format!("bridge {:?} is down: {why}", status.name), false)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::{HealthReport, reason};

    #[test]
    fn who_has_no_role_reads_no_paths_and_no_names() {
        let (down, stopping) = ("bridge \"x\" is down: secret", "the broker was told to stop");
        let told = vec![reason("bridge_down", down, false), reason("stopping", stopping, true)];
        let mut report = HealthReport::of(told);
        report.hide();
        let codes = report.reasons.iter().map(|reason| &*reason.code);
        assert_eq!(codes.collect::<Vec<_>>(), ["bridge_down", "stopping"]);
        assert!(!report.reasons[0].detail.contains('x'), "{}", report.reasons[0].detail);
        assert_eq!(report.reasons[1].detail, stopping);
    }

    #[test]
    fn only_what_blocks_keeps_work_away() {
        let check = |reasons, status: &str, is_ready| {
            let report = HealthReport::of(reasons);
            assert_eq!((&*report.status, report.is_ready()), (status, is_ready));
        };
        check(vec![], "ready", true);
        check(vec![reason("bridge_down", "", false)], "degraded", true);
        check(vec![reason("bridge_down", "", false), reason("x", "", true)], "unready", false);
    }
}
