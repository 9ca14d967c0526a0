//! Wrong ways to store, one at a time, that the simulation must notice. A build for use has none:
//! there each question below is answered with no.

#[cfg(any(test, feature = "sim"))]
mod chosen;

#[cfg(any(test, feature = "sim"))]
pub use chosen::Mutation;

/// Are commits answered before their frame is synced?
pub(crate) fn acknowledges_before_sync() -> bool {
    #[cfg(any(test, feature = "sim"))]
    return Mutation::AcknowledgeBeforeSync.is_chosen();
    #[cfg(not(any(test, feature = "sim")))]
    false
}

/// Are frames believed without a look at their checksum?
pub(crate) fn checks_no_checksum() -> bool {
    #[cfg(any(test, feature = "sim"))]
    return Mutation::NoChecksum.is_chosen();
    #[cfg(not(any(test, feature = "sim")))]
    false
}

/// Does recovery take every frame up twice?
pub(crate) fn replays_twice() -> bool {
    #[cfg(any(test, feature = "sim"))]
    return Mutation::ReplayTwice.is_chosen();
    #[cfg(not(any(test, feature = "sim")))]
    false
}

/// Is what recovery reads taken to be on disk, or to get there with the next sync?
pub(crate) fn trusts_what_it_reads() -> bool {
    #[cfg(any(test, feature = "sim"))]
    return Mutation::TrustWhatIsRead.is_chosen();
    #[cfg(not(any(test, feature = "sim")))]
    false
}

/// Do sieves forget a topic of each block?
pub(crate) fn sieves_lose_topics() -> bool {
    #[cfg(any(test, feature = "sim"))]
    return Mutation::SievesLoseTopics.is_chosen();
    #[cfg(not(any(test, feature = "sim")))]
    false
}

/// Is what stays of a refused commit dropped with the rest?
pub(crate) fn drops_what_stays() -> bool {
    #[cfg(any(test, feature = "sim"))]
    return Mutation::DropWhatStays.is_chosen();
    #[cfg(not(any(test, feature = "sim")))]
    false
}

/// Are folders never synced?
#[cfg(any(test, feature = "sim"))]
pub(crate) fn syncs_no_folder() -> bool {
    Mutation::NoFolderSync.is_chosen()
}

/// Does the checkpoint advance over segments that are not synced?
#[cfg(any(test, feature = "sim"))]
pub(crate) fn syncs_no_segment() -> bool {
    Mutation::NoSegmentSync.is_chosen()
}
