//! The thread that works on sealed segments. Decides the order of its work, does none itself.

use crate::engine::Engine;
use crate::{compact, resieve, seal};

/// The thread: until closed.
pub(crate) fn run(engine: &Engine) {
    seal::sweep(engine);
    loop {
        run_pending(engine);
        if !engine.sealer.wait() {
            return;
        }
    }
}

/// Everything that can be done now, on the caller's thread.
pub(crate) fn run_pending(engine: &Engine) {
    seal::run_pending(engine);
    resieve::run_pending(engine);
    compact::run_pending(engine);
}
