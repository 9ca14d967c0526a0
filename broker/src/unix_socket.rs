//! A socket file: made with the rights that it is to have before anybody can connect, taken over
//! from a broker that was killed, removed at the end. Accepts nobody.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use crate::accounts;
use crate::config::UnixListener as UnixListenerConfig;
use crate::held_file::HeldFile;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 4_096;

/// A socket file to which nobody can connect yet.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    socket: Socket,
    file: SocketFile,
    held: HeldFile,
}

/// The file; dropped, it is removed, if it is still the same.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number.
    is: (u64, u64),
}

impl UnixSocket {
    /// Makes the file; one that a broker left behind which was killed is replaced.
    pub(crate) fn bind(path: &Path, config: &UnixListenerConfig) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        clear(path, &address)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address)?;
        let held = HeldFile::open(path)?;
        let made = held.metadata()?;
        if !made.file_type().is_socket() {
            return Err(io::Error::other("somebody put something else in its place"));
        }
        let file = SocketFile { path: path.into(), is: (made.dev(), made.ino()) };
        held.set_mode(config.mode)?;
        let owner = config.owner.as_deref().map(accounts::user).transpose();
        let owner = owner.map_err(io::Error::other)?;
        let group = config.group.as_deref().map(accounts::group).transpose();
        let group = group.map_err(io::Error::other)?;
        if owner.is_some() || group.is_some() {
            held.give(owner.map(|owner| owner.uid), group)?;
        }
        Ok(Self { socket, file, held })
    }

    /// Gives the file to a user and a group, where the configuration names none.
    pub(crate) fn give(
        &self,
        (uid, gid): (u32, u32),
        config: &UnixListenerConfig,
    ) -> io::Result<()> {
        let uid = config.owner.is_none().then_some(uid);
        let gid = config.group.is_none().then_some(gid);
        self.held.give(uid, gid)
    }

    /// From now on the kernel takes connections.
    pub(crate) fn listen(self) -> io::Result<(UnixListener, SocketFile)> {
        let Self { socket, file, held: _ } = self;
        socket.listen(BACKLOG)?;
        Ok((UnixListener::from_std(StdUnixListener::from(socket))?, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let now = fs::symlink_metadata(&self.path);
        if !now.is_ok_and(|now| (now.dev(), now.ino()) == self.is) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the socket file cannot be removed");
        }
    }
}

/// Removes a socket file at which nobody listens, and nothing else.
fn clear(path: &Path, address: &SockAddr) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let words = "there is something that is no socket, and it is left alone";
        return Err(io::Error::new(ErrorKind::AlreadyExists, words));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose queue is full would have us wait.
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Err(io::Error::new(ErrorKind::AddrInUse, "somebody listens there")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    use super::UnixSocket;
    use crate::config::UnixListener;

    fn bind(path: &std::path::Path, mode: u32) -> std::io::Result<UnixSocket> {
        UnixSocket::bind(path, &UnixListener { mode, ..UnixListener::default() })
    }

    #[tokio::test]
    async fn the_file_has_its_rights_before_anybody_can_connect_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mqtt.sock");
        let socket = bind(&path, 0o640).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o640);
        assert!(UnixStream::connect(&path).is_err(), "nobody listens yet");
        let (_listener, file) = socket.listen().expect("it listens");
        UnixStream::connect(&path).expect("it listens");
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_at_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mqtt.sock");
        // As if it had been killed.
        std::mem::forget(bind(&path, 0o660).expect("bound").file);
        let (listener, file) = bind(&path, 0o660).expect("bound").listen().expect("it listens");
        let error = bind(&path, 0o660).expect_err("somebody listens");
        assert!(error.to_string().contains("somebody listens there"), "{error}");
        // What took the place meanwhile is not ours to remove.
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        drop((listener, file));
        let error = bind(&path, 0o660).expect_err("it is no socket");
        assert!(error.to_string().contains("is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
    }

    #[test]
    fn a_group_that_is_not_there_is_named_and_no_file_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mqtt.sock");
        let config = UnixListener { group: Some("no such".into()), ..UnixListener::default() };
        let error = UnixSocket::bind(&path, &config).expect_err("there is no such group");
        assert!(error.to_string().contains("\"no such\" is not in /etc/group"), "{error}");
        assert!(!path.exists());
    }
}
