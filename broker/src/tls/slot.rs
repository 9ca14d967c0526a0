//! What handshakes of one listener use now, and how it is replaced: connections that are open keep
//! what they began with. Watches nothing itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::server::ServerConfig;

use super::error::TlsError;
use super::load::{Expiry, Loaded, files, load};
use crate::config::{ClientAuth, TlsConfig, TlsIdentity};
use crate::file_watch::FileWatch;
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
    watch: FileWatch,
}

impl Slot {
    /// Reads the files for the first time.
    pub(crate) fn new(settings: Settings) -> Result<Self, TlsError> {
        let paths = files(&settings.config).into_iter().map(Path::to_path_buf);
        let watch = FileWatch::new(paths.collect::<Vec<PathBuf>>());
        let loaded = load(&settings.config, settings.alpn)?;
        let current = RwLock::new(Arc::new(loaded));
        Ok(Self { settings, current, watch })
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

    /// Which files these are, and whether they changed.
    pub(crate) fn watch(&self) -> &FileWatch {
        &self.watch
    }

    /// Reads the files anew: new handshakes use what they say. On a mistake all stays as it is.
    pub(crate) fn reload(&self, now_s: i64) -> Result<(), TlsError> {
        let loaded = load(&self.settings.config, self.settings.alpn)?;
        let former = Arc::clone(&self.current.read());
        check_time(&former, &loaded, now_s)?;
        *self.current.write() = Arc::new(loaded);
        Ok(())
    }
}

/// A certificate whose time is over, or has not come, does not replace those that are good.
fn check_time(former: &Loaded, loaded: &Loaded, now_s: i64) -> Result<(), TlsError> {
    let is_bad = |expiry: &&Expiry| {
        expiry.file == TlsFile::Certificate && !(expiry.from_s..=expiry.at_s).contains(&now_s)
    };
    if former.expiries.iter().any(|expiry| is_bad(&expiry)) {
        return Ok(());
    }
    let Some(bad) = loaded.expiries.iter().find(is_bad) else { return Ok(()) };
    let path = bad.path.clone();
    Err(if bad.at_s < now_s { TlsError::Expired(path) } else { TlsError::Early(path) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::{Settings, Slot};
    use crate::config::TlsConfig;
    use crate::metrics::TlsListener;
    use crate::tls::TlsError;

    /// A day of 2027.
    const NOW_S: i64 = 1_800_000_000;
    /// When that year begins.
    const IN_2030_S: i64 = 1_893_456_000;

    /// A certificate for these years, and its key, in the folder.
    fn write(folder: &Path, years: [i32; 2]) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
        [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join("cert.pem"), cert.pem()).expect("written");
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
    }

    fn slot(folder: &Path) -> Slot {
        let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| Some(folder.join(name)));
        let config = TlsConfig { cert_file, key_file, ..TlsConfig::default() };
        let settings = Settings { listener: TlsListener::Mqtts, config, alpn: None };
        Slot::new(settings).expect("good files")
    }

    #[test]
    fn a_certificate_out_of_its_time_replaces_none_that_is_good_and_one_of_later_does_then() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), [2020, 2040]);
        let slot = slot(folder.path());
        write(folder.path(), [2020, 2021]);
        let over = slot.reload(NOW_S);
        assert!(matches!(over, Err(TlsError::Expired(_))), "{over:?}");
        write(folder.path(), [2030, 2040]);
        let early = slot.reload(NOW_S);
        assert!(matches!(early, Err(TlsError::Early(_))), "{early:?}");
        slot.reload(IN_2030_S).expect("its day has come");
        // What is in use does not count any more: anything is as good.
        write(folder.path(), [2020, 2021]);
        slot.reload(NOW_S).expect("taken");
    }
}
