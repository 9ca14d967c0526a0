//! Reading a socket with one call to the system. Never waits.

use std::io::{self, ErrorKind, Read};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Reads, and takes a socket that gave less than there is room for as one that has no more: it
/// would say so at the next read, which is one call to the system for every message.
pub(crate) fn read_once(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = None;
    let read = stream.try_io(Interest::READABLE, || {
        let read = (&*SockRef::from(stream)).read(buffer)?;
        if read == 0 || read == buffer.len() {
            return Ok(read);
        }
        count = Some(read);
        Err(ErrorKind::WouldBlock.into())
    });
    count.map_or(read, Ok)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream as StdTcpStream};

    use tokio::io::Interest;
    use tokio::net::TcpStream;

    use super::read_once;

    #[tokio::test]
    async fn a_socket_that_gave_all_it_had_is_not_asked_again_until_more_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut client = StdTcpStream::connect(address).expect("connected");
        let (accepted, _) = listener.accept().expect("accepted");
        accepted.set_nonblocking(true).expect("set");
        let stream = TcpStream::from_std(accepted).expect("bound");
        let mut buffer = [0; 16];
        for text in ["one", "four", "sixteen bytes it"] {
            client.write_all(text.as_bytes()).expect("sent");
            stream.readable().await.expect("readable");
            assert_eq!(read_once(&stream, &mut buffer).expect("read"), text.len());
            assert_eq!(&buffer[..text.len()], text.as_bytes());
            let again = stream.try_io(Interest::READABLE, || Ok(()));
            let is_ready = text.len() == buffer.len();
            assert_eq!(again.map_err(|error| error.kind()).is_ok(), is_ready, "{text}");
        }
        drop(client);
        stream.readable().await.expect("the end");
        let rest = read_once(&stream, &mut buffer);
        let end = match rest {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stream.readable().await.expect("the end");
                read_once(&stream, &mut buffer)
            }
            other => other,
        };
        assert_eq!(end.expect("the end"), 0);
    }
}
