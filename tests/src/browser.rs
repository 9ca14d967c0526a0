//! A real browser without a window, in a folder of its own, on one page. Knows nothing of the page.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData as _};
use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::authority::Pair;
use crate::program::Program;

/// It goes with the folder.
#[derive(Debug)]
pub struct Browser {
    program: Program,
    _folder: TempDir,
}

impl Browser {
    /// Opens a page and trusts this server's key if there is one, whoever signed it. Names under
    /// `.test` are this machine.
    ///
    /// # Panics
    /// When there is no browser.
    #[must_use]
    pub fn open(page: &str, trusted: Option<&Pair>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(place());
        command.arg(format!("--user-data-dir={}", folder.path().display()));
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--no-proxy-server",
            "--host-resolver-rules=MAP *.test 127.0.0.1",
            // So it stays until it is told to go.
            "--remote-debugging-port=0",
        ]);
        if let Some(pair) = trusted {
            let digest = key_digest(pair);
            command.arg(format!("--ignore-certificate-errors-spki-list={digest}"));
        }
        // It writes where it is at home.
        command.env("HOME", folder.path()).arg(page);
        // What Debian calls the browser is a script that starts it: all of them go together.
        command.process_group(0);
        Self { program: Program::start(&mut command), _folder: folder }
    }

    /// What it said itself.
    #[must_use]
    pub fn output(&self) -> String {
        self.program.output()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.program.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // An error here means that it is gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The browser that the setup installs; `TIDEWIRE_BROWSER` names another of its kind.
fn place() -> PathBuf {
    std::env::var_os("TIDEWIRE_BROWSER")
        .map_or_else(|| PathBuf::from("chromium-headless-shell"), PathBuf::from)
}

/// As browsers write the key that they are told to trust.
fn key_digest(pair: &Pair) -> String {
    let text = std::fs::read_to_string(&pair.key).expect("a file");
    let key = KeyPair::from_pem(&text).expect("a key");
    STANDARD.encode(Sha256::digest(key.subject_public_key_info()))
}
