//! Tells who started the program how far it is, if that wants to know (`NOTIFY_SOCKET`, as systemd
//! has it). Waits for nobody.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// It serves.
pub(crate) const READY: &str = "READY=1";
/// It takes over other settings; it says that it serves when that is done.
const RELOADING: &str = "RELOADING=1";
/// It ends.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Where it is told, if anywhere.
pub(crate) struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// As the environment says.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self(None) };
        match open(&name) {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used");
                Self(None)
            }
        }
    }

    /// Says that it takes over other settings, and when that began: systemd wants to know.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let since_us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.say(&format!("{RELOADING}\nMONOTONIC_USEC={since_us}"));
    }

    /// Says this.
    pub(crate) fn say(&self, words: &str) {
        let Some((socket, to)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), to) {
            tracing::warn!(%error, "whoever started the broker cannot be told: {words}");
        }
    }
}

/// A name that begins with `@` is none of a file.
fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}
