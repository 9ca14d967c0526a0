//! Which mutation this thread's stores have. Simulations run on one thread each.

use std::cell::Cell;

thread_local! {
    static CHOSEN: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// A fault put into the store on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Commits are answered before their frame is synced.
    AcknowledgeBeforeSync,
    /// Frames are believed without a look at their checksum.
    NoChecksum,
    /// Recovery takes every frame up twice.
    ReplayTwice,
    /// Folders are never synced.
    NoFolderSync,
    /// The checkpoint advances over segments that are not synced.
    NoSegmentSync,
    /// Frames that recovery reads are not written again, although their sync may have failed.
    TrustWhatIsRead,
    /// Sieves forget a topic of each block.
    SievesLoseTopics,
    /// What stays of a refused commit is dropped with the rest.
    DropWhatStays,
}

impl Mutation {
    /// All of them, each by the name it is asked for with.
    pub const ALL: [(&'static str, Self); 8] = [
        ("acknowledge-before-sync", Self::AcknowledgeBeforeSync),
        ("no-checksum", Self::NoChecksum),
        ("replay-twice", Self::ReplayTwice),
        ("no-folder-sync", Self::NoFolderSync),
        ("no-segment-sync", Self::NoSegmentSync),
        ("trust-what-is-read", Self::TrustWhatIsRead),
        ("sieves-lose-topics", Self::SievesLoseTopics),
        ("drop-what-stays", Self::DropWhatStays),
    ];

    pub(crate) fn is_chosen(self) -> bool {
        CHOSEN.get() == Some(self)
    }

    /// Runs `work` with stores that are mutated, or not.
    pub(crate) fn during<T>(mutation: Option<Self>, work: impl FnOnce() -> T) -> T {
        /// Puts things right even when the work panics.
        struct Restore(Option<Mutation>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CHOSEN.set(self.0);
            }
        }
        let _restore = Restore(CHOSEN.replace(mutation));
        work()
    }
}
