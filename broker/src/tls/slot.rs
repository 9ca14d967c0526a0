//! What handshakes of one listener use now, and how it is replaced: connections that are open keep
//! what they began with. Watches nothing itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use rustls::server::ServerConfig;

use super::error::TlsError;
use super::load::{Expiry, Loaded, Own, files, load, load_own};
use crate::config::{ClientAuth, TlsConfig, TlsIdentity};
use crate::file_watch::FileWatch;
use crate::metrics::TlsListener;

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
    /// When certificates that wait for their day are to be read again; `i64::MAX`: none does.
    due_s: AtomicI64,
}

impl Slot {
    /// Reads the files for the first time.
    pub(crate) fn new(settings: Settings) -> Result<Self, TlsError> {
        let paths = files(&settings.config).into_iter().map(Path::to_path_buf);
        let watch = FileWatch::new(paths.collect::<Vec<PathBuf>>());
        let loaded = load(&settings.config, settings.alpn, load_own(&settings.config)?)?;
        let current = RwLock::new(Arc::new(loaded));
        Ok(Self { settings, current, watch, due_s: AtomicI64::new(i64::MAX) })
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
        self.current.read().expiries()
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

    /// A certificate that was early when it was read is so no longer.
    pub(crate) fn is_due(&self, now_s: i64) -> bool {
        now_s >= self.due_s.load(Ordering::Relaxed)
    }

    /// Reads the files anew: new handshakes use what they say. On a mistake all stays as it is,
    /// but for who may come: a list of the revoked does not wait for a certificate of ours.
    pub(crate) fn reload(&self, now_s: i64) -> Result<(), TlsError> {
        self.due_s.store(i64::MAX, Ordering::Relaxed);
        let former = self.current.read().own.clone();
        let read =
            load_own(&self.settings.config).and_then(|own| self.in_time(&former, own, now_s));
        let (own, mistake) = match read {
            Ok(own) => (own, None),
            Err(mistake) => (former, Some(mistake)),
        };
        let loaded = load(&self.settings.config, self.settings.alpn, own)?;
        *self.current.write() = Arc::new(loaded);
        mistake.map_or(Ok(()), Err)
    }

    /// A certificate whose time is over, or has not come, does not replace those that are good.
    fn in_time(&self, former: &Own, own: Own, now_s: i64) -> Result<Own, TlsError> {
        let is_bad = |expiry: &&Expiry| !(expiry.from_s..=expiry.at_s).contains(&now_s);
        if former.expiries.iter().any(|expiry| is_bad(&expiry)) {
            return Ok(own);
        }
        let Some(bad) = own.expiries.iter().find(is_bad) else { return Ok(own) };
        let path = bad.path.clone();
        if bad.at_s < now_s {
            return Err(TlsError::Expired(path));
        }
        self.due_s.store(bad.from_s, Ordering::Relaxed);
        Err(TlsError::Early(path))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::{Settings, Slot};
    use crate::config::{ClientAuth, TlsConfig};
    use crate::metrics::{TlsFile, TlsListener};
    use crate::tls::TlsError;

    /// A day of 2027.
    const NOW_S: i64 = 1_800_000_000;
    /// When that year begins.
    const IN_2030_S: i64 = 1_893_456_000;

    /// A certificate for these years, in the file; returns its key.
    fn sign(file: &Path, years: [i32; 2]) -> KeyPair {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
        [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        std::fs::write(file, cert.pem()).expect("written");
        key
    }

    /// A certificate for these years, and its key, in the folder.
    fn write(folder: &Path, years: [i32; 2]) {
        let key = sign(&folder.join("cert.pem"), years);
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
    }

    fn slot(folder: &Path) -> Slot {
        slot_of(folder, TlsConfig::default())
    }

    fn slot_of(folder: &Path, config: TlsConfig) -> Slot {
        let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| Some(folder.join(name)));
        let config = TlsConfig { cert_file, key_file, ..config };
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
        assert!(!slot.is_due(NOW_S) && !slot.is_due(IN_2030_S - 1) && slot.is_due(IN_2030_S));
        slot.reload(IN_2030_S).expect("its day has come");
        assert!(!slot.is_due(IN_2030_S), "once is enough");
        // What is in use does not count any more: anything is as good.
        write(folder.path(), [2020, 2021]);
        slot.reload(NOW_S).expect("taken");
    }

    #[test]
    fn who_may_come_does_not_wait_for_a_certificate_of_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = folder.path().join("ca.pem");
        sign(&authority, [2020, 2041]);
        write(folder.path(), [2020, 2040]);
        let client_ca_file = Some(authority.clone());
        let client_auth = ClientAuth::Required;
        let slot = slot_of(
            folder.path(),
            TlsConfig { client_auth, client_ca_file, ..TlsConfig::default() },
        );
        let until = |file: TlsFile| {
            let expiries = slot.expiries();
            expiries.iter().find(|expiry| expiry.file == file).expect("one").at_s
        };
        let before = [until(TlsFile::Certificate), until(TlsFile::ClientCa)];
        for years in [[2030, 2050], [2020, 2021]] {
            sign(&authority, [2020, years[1]]);
            write(folder.path(), years);
            slot.reload(NOW_S).expect_err("it is not its time");
            assert_eq!(until(TlsFile::Certificate), before[0]);
            assert_ne!(until(TlsFile::ClientCa), before[1]);
        }
        std::fs::write(folder.path().join("cert.pem"), "nothing").expect("written");
        sign(&authority, [2020, 2060]);
        let last = until(TlsFile::ClientCa);
        slot.reload(NOW_S).expect_err("no certificate");
        assert_eq!(until(TlsFile::Certificate), before[0]);
        assert!(until(TlsFile::ClientCa) > last);
    }
}
