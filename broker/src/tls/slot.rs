//! What handshakes of one listener use now, and how it is replaced: connections that are open keep
//! what they began with. Watches nothing itself.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::server::ServerConfig;

use super::error::TlsError;
use super::load::{Expiry, Loaded, files, load};
use crate::config::{ClientAuth, TlsConfig, TlsIdentity};
use crate::metrics::{TlsFile, TlsListener};

/// The TLS of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listener: TlsListener,
    pub(crate) config: TlsConfig,
    /// The protocol that is spoken within (ALPN), if it has a name.
    pub(crate) alpn: Option<&'static [u8]>,
}

/// What its handshakes use.
pub(crate) struct Slot {
    settings: Settings,
    current: RwLock<Arc<Loaded>>,
    seen: Mutex<Seen>,
}

/// The files by their marks.
struct Seen {
    /// When they were last read.
    read: Vec<Option<Mark>>,
    /// When they were last looked at.
    looked: Vec<Option<Mark>>,
}

impl Seen {
    fn now(config: &TlsConfig) -> Self {
        let read = marks(config);
        Self { looked: read.clone(), read }
    }
}

/// By what a file is known to have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    inode: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Slot {
    /// Reads the files for the first time.
    pub(crate) fn new(settings: Settings) -> Result<Self, TlsError> {
        let seen = Seen::now(&settings.config);
        let loaded = load(&settings.config, settings.alpn)?;
        let current = RwLock::new(Arc::new(loaded));
        Ok(Self { settings, current, seen: Mutex::new(seen) })
    }

    /// For which listener it is.
    pub(crate) fn listener(&self) -> TlsListener {
        self.settings.listener
    }

    /// How long a handshake may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.settings.config.handshake_timeout
    }

    /// How many handshakes may be under way.
    pub(crate) fn handshakes_max(&self) -> usize {
        self.settings.config.handshakes_max as usize
    }

    /// Whether only clients with a certificate come in.
    pub(crate) fn asks_everybody(&self) -> bool {
        self.settings.config.client_auth == ClientAuth::Required
    }

    /// Until when what is in use is good.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        self.current.read().expiries.clone()
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().server)
    }

    pub(super) fn identity_rule(&self) -> TlsIdentity {
        self.settings.config.identity
    }

    /// Whether a file differs from what was last read, be it usable or not, and has not changed
    /// since the last look: a certificate and its key are not written in one moment.
    pub(crate) fn is_settled(&self) -> bool {
        let now = marks(&self.settings.config);
        let mut seen = self.seen.lock();
        let is_still = seen.looked == now;
        let is_new = seen.read != now;
        seen.looked = now;
        is_new && is_still
    }

    /// Reads the files anew: new handshakes use what they say. On a mistake all stays as it is.
    pub(crate) fn reload(&self, now_s: i64) -> Result<(), TlsError> {
        *self.seen.lock() = Seen::now(&self.settings.config);
        let loaded = load(&self.settings.config, self.settings.alpn)?;
        let former = Arc::clone(&self.current.read());
        if let Some(path) = newly_expired(&former, &loaded, now_s) {
            return Err(TlsError::Expired(path.into()));
        }
        *self.current.write() = Arc::new(loaded);
        Ok(())
    }
}

/// A certificate whose time is over does not replace those that are good.
fn newly_expired<'l>(former: &Loaded, loaded: &'l Loaded, now_s: i64) -> Option<&'l Path> {
    let is_over = |expiry: &&Expiry| expiry.file == TlsFile::Certificate && expiry.at_s < now_s;
    if former.expiries.iter().any(|expiry| is_over(&expiry)) {
        return None;
    }
    loaded.expiries.iter().find(is_over).map(|expiry| expiry.path.as_path())
}

/// A file that is not there is known by that.
fn marks(config: &TlsConfig) -> Vec<Option<Mark>> {
    let mark = |path: &Path| {
        let data = std::fs::metadata(path).ok()?;
        Some(Mark {
            inode: (data.dev(), data.ino()),
            size: data.size(),
            written: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    };
    files(config).into_iter().map(mark).collect()
}
