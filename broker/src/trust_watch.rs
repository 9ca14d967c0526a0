//! Looks whether the files changed that say who may connect and who may do what, and whether a
//! backup is asked for. Has a thread of its own, so that who loses a right loses it soon whatever
//! else is done. Opens none of them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::backup::BackupDesk;
use crate::core::shared::Shared;

/// How often. A file is read when it has not changed since the last look: two looks at most are
/// between a change and what follows from it.
const LOOK: Duration = Duration::from_secs(1);

/// The thread that does it; ends when told to.
pub(crate) struct TrustWatch {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl TrustWatch {
    pub(crate) fn start(shared: Arc<Shared>, mut desk: BackupDesk) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("trust-watch".into()).spawn(move || {
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                look(&shared);
                desk.look(&shared.store);
            }
            desk.stop();
        })?;
        Ok(Self { stop, thread })
    }

    /// Waits for what is under way.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the watch on files of users and rules ended in a panic");
        }
    }
}

fn look(shared: &Shared) {
    if let Some(users) = &shared.users {
        users.look();
    }
    if let Some(chain) = &shared.chain {
        chain.look();
    }
    if shared.access.look() {
        shared.tell_rules();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::runtime::Builder;

    use super::TrustWatch;
    use crate::access_file::AccessFile;
    use crate::backup::BackupDesk;
    use crate::config::AccessConfig;
    use crate::core::alone::Alone;
    use crate::core::inbox::Event;
    use crate::live::Live;

    #[test]
    fn rules_that_change_are_noticed_by_a_thread_that_does_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rules");
        std::fs::write(&path, "allow everyone any #\n").expect("written");
        let mut alone = Alone::new(|config| config.access.rules_file = Some(path.clone()));
        let config = AccessConfig { rules_file: Some(path.clone()), ..Default::default() };
        let shared = Arc::get_mut(&mut alone.core.shared).expect("no other core");
        shared.access = Live::new(AccessFile::open(&config).expect("good rules"));
        let (shared, inbox) = (Arc::clone(&alone.core.shared), Arc::clone(&alone.core.inbox));
        let watch = TrustWatch::start(shared, BackupDesk::new(folder.path())).expect("a thread");
        std::fs::write(&path, "deny everyone any #\n").expect("written");
        let mut events = Vec::new();
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(inbox.take(&mut events));
        assert!(matches!(&*events, [Event::Rules(0)]), "{} events", events.len());
        watch.stop();
    }
}
