//! Frames: taken off what the other side sends, in place; put in front of what we send.

use thiserror::Error;

/// The longest head of a frame of ours.
pub const FRAME_HEAD_BYTES_MAX: usize = 10;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Control frames are short.
const CONTROL_BYTES_MAX: usize = 125;
/// Head and mask of a frame.
const HEAD_BYTES_MAX: usize = 14;

/// Why the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// MQTT is carried by binary frames only.
    #[error("a frame that is not binary")]
    NotBinary,
    /// What RFC 6455 forbids.
    #[error("a frame that breaks the rules of WebSocket")]
    Protocol,
}

impl FrameError {
    /// The number that CLOSE says it with.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::NotBinary => 1003,
            Self::Protocol => 1002,
        }
    }
}

/// Where in the stream of frames a connection is. Holds no payload but that of a control frame.
#[derive(Debug, Default)]
pub struct Decoder {
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    /// Payload of the frame at hand that is still to come.
    left: u64,
    mask: [u8; 4],
    mask_at: usize,
    opcode: u8,
    /// A message that continues in another frame.
    is_fragmented: bool,
    control: Vec<u8>,
    /// CLOSE came: nothing after it counts.
    is_closed: bool,
    /// We are the client: what comes is not masked, what we answer is, by this.
    own_mask: Option<[u8; 4]>,
}

impl Decoder {
    /// Of what a server sends; answers are masked by this.
    #[must_use]
    pub fn of_server(mask: [u8; 4]) -> Self {
        Self { own_mask: Some(mask), ..Self::default() }
    }

    /// Takes what came from the socket and leaves the bytes of MQTT at its front; answers how many.
    /// What must be answered (to a ping, to CLOSE) is put into `out`.
    ///
    /// # Errors
    /// When the connection must end.
    pub fn take(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Result<usize, FrameError> {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() && !self.is_closed {
            if self.head_is_needed() {
                self.head[self.head_len] = bytes[at];
                self.head_len += 1;
                at += 1;
                self.read_head(out)?;
                continue;
            }
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let count = left.min(bytes.len() - at);
            self.unmask(&mut bytes[at..at + count]);
            if self.opcode >= CLOSE {
                self.control.extend_from_slice(&bytes[at..at + count]);
            } else {
                bytes.copy_within(at..at + count, kept);
                kept += count;
            }
            at += count;
            self.left -= count as u64;
            self.end_frame(out);
        }
        Ok(kept)
    }

    /// Whether the other side said CLOSE.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn head_is_needed(&self) -> bool {
        self.left == 0
    }

    /// Reads the head once it is whole.
    fn read_head(&mut self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        if self.head_len < 2 {
            return Ok(());
        }
        let [first, second, ..] = self.head;
        if self.head_len == 2 {
            self.check_head(first, second)?;
        }
        let length_bytes = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = if self.own_mask.is_some() { 0 } else { self.mask.len() };
        if self.head_len < 2 + length_bytes + mask_bytes {
            return Ok(());
        }
        self.left = match length_bytes {
            0 => u64::from(second & !MASKED),
            _ => self.head[2..2 + length_bytes].iter().fold(0, |n, b| n << 8 | u64::from(*b)),
        };
        if self.left >> 63 != 0 {
            return Err(FrameError::Protocol);
        }
        if self.own_mask.is_none() {
            self.mask.copy_from_slice(&self.head[2 + length_bytes..6 + length_bytes]);
        }
        self.opcode = first & 0x0f;
        if self.opcode < CLOSE {
            self.is_fragmented = first & FINAL == 0;
        }
        (self.head_len, self.mask_at) = (0, 0);
        self.end_frame(out);
        Ok(())
    }

    fn check_head(&self, first: u8, second: u8) -> Result<(), FrameError> {
        let opcode = first & 0x0f;
        let is_control = opcode >= CLOSE;
        let length = usize::from(second & !MASKED);
        let is_whole = first & FINAL != 0;
        let is_masked = second & MASKED != 0;
        if first & RESERVED != 0 || is_masked == self.own_mask.is_some() {
            return Err(FrameError::Protocol);
        }
        if is_control && (!is_whole || length > CONTROL_BYTES_MAX) {
            return Err(FrameError::Protocol);
        }
        match (opcode, self.is_fragmented) {
            (CONTINUATION, true) | (BINARY, false) | (CLOSE | PING | PONG, _) => Ok(()),
            (CONTINUATION, false) | (BINARY, true) => Err(FrameError::Protocol),
            (1, _) => Err(FrameError::NotBinary),
            _ => Err(FrameError::Protocol),
        }
    }

    fn unmask(&mut self, bytes: &mut [u8]) {
        if self.own_mask.is_some() {
            return;
        }
        let mut mask = self.mask;
        mask.rotate_left(self.mask_at % 4);
        cover(bytes, mask);
        self.mask_at = (self.mask_at + bytes.len()) % 4;
    }

    /// A control frame that is whole is answered.
    fn end_frame(&mut self, out: &mut Vec<u8>) {
        if self.left > 0 || self.opcode < CLOSE {
            return;
        }
        let control = std::mem::take(&mut self.control);
        match self.opcode {
            PING => put_control(PONG, (&control, self.own_mask), out),
            CLOSE => {
                self.is_closed = true;
                put_control(CLOSE, (control.get(..2).unwrap_or_default(), self.own_mask), out);
            }
            _ => (),
        }
        self.opcode = CONTINUATION;
    }
}

/// The same on both sides: masks what is plain, bares what is masked.
fn cover(bytes: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// The head of a binary frame with so many bytes.
pub fn put_frame_head(bytes: usize, out: &mut Vec<u8>) {
    put_head(bytes, 0, out);
}

/// A binary frame of a client, whole.
pub fn put_masked_frame(payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    put_head(payload.len(), MASKED, out);
    put_masked(payload, mask, out);
}

fn put_head(bytes: usize, masked: u8, out: &mut Vec<u8>) {
    out.push(FINAL | BINARY);
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(bytes @ 0..=125), _) => out.push(masked | bytes),
        (_, Ok(bytes)) => {
            out.push(masked | 126);
            out.extend_from_slice(&bytes.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
}

/// CLOSE with this number.
pub fn put_close(code: u16, out: &mut Vec<u8>) {
    put_control(CLOSE, (&code.to_be_bytes(), None), out);
}

fn put_control(opcode: u8, (payload, mask): (&[u8], Option<[u8; 4]>), out: &mut Vec<u8>) {
    let payload = payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload);
    let masked = if mask.is_some() { MASKED } else { 0 };
    out.push(FINAL | opcode);
    out.push(masked | u8::try_from(payload.len()).unwrap_or_default());
    match mask {
        Some(mask) => put_masked(payload, mask, out),
        None => out.extend_from_slice(payload),
    }
}

fn put_masked(payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    out.extend_from_slice(&mask);
    let from = out.len();
    out.extend_from_slice(payload);
    cover(&mut out[from..], mask);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{Decoder, FrameError, put_close, put_frame_head, put_masked_frame};

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut frame = Vec::new();
        put_frame_head(payload.len(), &mut frame);
        (frame[0], frame[1]) = (first, frame[1] | 0x80);
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn taken(decoder: &mut Decoder, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), FrameError> {
        let (mut bytes, mut out) = (bytes.to_vec(), Vec::new());
        let kept = decoder.take(&mut bytes, &mut out)?;
        bytes.truncate(kept);
        Ok((bytes, out))
    }

    #[test]
    fn a_ping_between_fragments_is_answered_and_a_close_ends_it() {
        let mut decoder = Decoder::default();
        let parts = [masked(0x02, b"ab"), masked(0x89, b"hi"), masked(0x80, b"cd")].concat();
        assert_eq!(taken(&mut decoder, &parts), Ok((b"abcd".to_vec(), b"\x8a\x02hi".to_vec())));
        let mut close = Vec::new();
        put_close(1000, &mut close);
        let end = [masked(0x88, &1000_u16.to_be_bytes()), masked(0x82, b"late")].concat();
        assert_eq!(taken(&mut decoder, &end), Ok((Vec::new(), close)));
        assert!(decoder.is_closed());
    }

    #[test]
    fn a_client_takes_what_is_not_masked_and_answers_masked() {
        let mask = [1, 2, 3, 4];
        let mut decoder = Decoder::of_server(mask);
        let mut sent = Vec::new();
        put_frame_head(200, &mut sent);
        sent.extend_from_slice(&[7; 200]);
        sent.extend_from_slice(b"\x89\x02hi");
        let (kept, answer) = taken(&mut decoder, &sent).expect("sound frames");
        assert_eq!((kept, &answer[..]), (vec![7; 200], &b"\x8a\x82\x01\x02\x03\x04\x69\x6b"[..]));
        assert_eq!(taken(&mut decoder, &masked(0x82, b"x")), Err(FrameError::Protocol));
        for bytes in [0, 125, 126, 70_000] {
            let (payload, mut frame) = (vec![9; bytes], Vec::new());
            put_masked_frame(&payload, mask, &mut frame);
            assert_eq!(taken(&mut Decoder::default(), &frame), Ok((payload, Vec::new())));
        }
    }

    #[test]
    fn what_the_rules_forbid_ends_the_connection() {
        for (frame, error) in [
            (masked(0x81, b"text"), FrameError::NotBinary),
            (masked(0xc2, b"reserved"), FrameError::Protocol),
            (masked(0x80, b"continues nothing"), FrameError::Protocol),
            (masked(0x83, b"unknown"), FrameError::Protocol),
            (masked(0x09, b"a ping in parts"), FrameError::Protocol),
            (masked(0x89, &[0; 126]), FrameError::Protocol),
            (vec![0x82, 1, b'x'], FrameError::Protocol),
            ([masked(0x02, b"a"), masked(0x82, b"b")].concat(), FrameError::Protocol),
            ([&[0x82, 0xff][..], &[0xff; 12]].concat(), FrameError::Protocol),
        ] {
            assert_eq!(taken(&mut Decoder::default(), &frame), Err(error), "{frame:x?}");
        }
    }

    proptest! {
        #[test]
        fn payload_comes_out_whole_however_frames_and_reads_cut_it(
            parts in vec(vec(any::<u8>(), 0..300), 1..6),
            cuts in vec(1usize..50, 1..40),
        ) {
            let last = parts.len() - 1;
            let frames: Vec<u8> = parts
                .iter()
                .enumerate()
                .flat_map(|(at, part)| {
                    let opcode = if at == 0 { 2 } else { 0 };
                    masked(opcode | if at == last { 0x80 } else { 0 }, part)
                })
                .collect();
            let (mut decoder, mut got, mut rest) = (Decoder::default(), Vec::new(), &frames[..]);
            for cut in cuts.into_iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                got.extend(taken(&mut decoder, now).expect("sound frames").0);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            assert_eq!(got, parts.concat());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = taken(&mut Decoder::default(), &bytes);
        }
    }
}
