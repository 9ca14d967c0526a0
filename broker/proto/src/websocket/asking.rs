//! The HTTP request by which a client asks for WebSocket, and what it makes of the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::handshake::{HANDSHAKE_BYTES_MAX, MAGIC};

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGranted {
    /// In the words of the server.
    #[error("it refuses WebSocket: {0}")]
    Refused(String),
    /// What came is no answer to what was asked.
    #[error("its answer to the request for WebSocket is none")]
    Nonsense,
}

/// The request for MQTT at this path; `key` is to be random.
#[must_use]
pub fn request(host: &str, path: &str, key: [u8; 16]) -> Vec<u8> {
    let key = STANDARD.encode(key);
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: mqtt\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// Reads the answer once it is whole: how many bytes it had; what follows is frames.
///
/// # Errors
/// When WebSocket is not granted.
pub fn read_answer(bytes: &[u8], key: [u8; 16]) -> Result<Option<usize>, NotGranted> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        let is_too_large = bytes.len() > HANDSHAKE_BYTES_MAX;
        return if is_too_large { Err(NotGranted::Nonsense) } else { Ok(None) };
    };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| NotGranted::Nonsense)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.ok_or(NotGranted::Nonsense)?;
    if !status.starts_with("101") {
        return Err(NotGranted::Refused(status.to_owned()));
    }
    let accept = STANDARD.encode(Sha1::digest(format!("{}{MAGIC}", STANDARD.encode(key))));
    let (mut is_accepted, mut is_mqtt) = (false, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        is_accepted |= name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accept;
        is_mqtt |= name.eq_ignore_ascii_case("sec-websocket-protocol") && value.trim() == "mqtt";
    }
    match (is_accepted, is_mqtt) {
        (true, true) => Ok(Some(end + 4)),
        (true, false) => Err(NotGranted::Refused("it does not speak MQTT there".into())),
        _ => Err(NotGranted::Nonsense),
    }
}

#[cfg(test)]
mod tests {
    use super::super::handshake::{Origins, read_upgrade};
    use super::{NotGranted, read_answer, request};

    #[test]
    fn what_is_asked_for_is_granted_by_the_other_half() {
        let (key, asked) = ([7; 16], request("a.example:80", "/mqtt", [7; 16]));
        let upgrade = read_upgrade(&asked, &Origins::Local).expect("granted").expect("whole");
        let answer = [&upgrade.answer[..], b"rest"].concat();
        assert_eq!(read_answer(&answer, key), Ok(Some(upgrade.answer.len())));
        for cut in 0..upgrade.answer.len() {
            assert_eq!(read_answer(&answer[..cut], key), Ok(None), "cut at {cut}");
        }
        assert_eq!(read_answer(&answer, [8; 16]), Err(NotGranted::Nonsense), "another's key");
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_server() {
        let refused = read_answer(b"HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\n", [0; 16]);
        assert_eq!(refused, Err(NotGranted::Refused("404 Not Found".into())));
        assert_eq!(read_answer(b"SSH-2.0-x\r\n\r\n", [0; 16]), Err(NotGranted::Nonsense));
        assert_eq!(read_answer(&[b'x'; 9000], [0; 16]), Err(NotGranted::Nonsense));
    }
}
