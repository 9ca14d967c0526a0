//! How threads that nobody waits for leave the processor to those that somebody does. Never a
//! promise: where the system refuses, they run as any other.

/// From here on the calling thread runs when the writer and the connections leave room.
pub(crate) fn step_back() {
    // Elsewhere this would be the priority of the whole program.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a background thread keeps its priority");
    }
}

/// About a third of the share of a thread at normal priority.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;
