//! Changes to inputs: of single bytes and bits, of pieces, and of packets, whose lengths are put
//! right again so that the change gets past the first check. Judges nothing.

use crate::hex;
use crate::random::Random;

/// Longer inputs find little more and cost time.
const INPUT_BYTES_MAX: usize = 4096;

/// Bytes at which rules change.
const EDGES: &[u8] = &[0, 1, 2, 3, 4, 5, 0x7e, 0x7f, 0x80, 0x81, 0xc0, 0xed, 0xf4, 0xfe, 0xff];

/// Pieces that a packet is made of.
const PIECES: &[&[u8]] = &[
    b"\x00\x04MQTT\x05",
    b"\x00\x04MQTT\x04",
    b"\x00\x06MQIsdp\x03",
    b"\x00\x01a",
    b"\x00\x03a/b",
    b"\x00\x01#",
    b"\x00\x01+",
    b"\x00\x0a$share/g/a",
    b"\x00\x00",
    b"\x00\x01",
    b"\xff\xff",
    b"\x01\x01",
    b"\x02\x00\x00\x00\x01",
    b"\x03\x00\x01t",
    b"\x08\x00\x01r",
    b"\x09\x00\x01c",
    b"\x0b\x01",
    b"\x11\x00\x00\x00\x05",
    b"\x15\x00\x01m",
    b"\x16\x00\x01d",
    b"\x17\x00",
    b"\x18\x00\x00\x00\x01",
    b"\x19\x01",
    b"\x1f\x00\x01r",
    b"\x21\x00\x02",
    b"\x22\x00\x02",
    b"\x23\x00\x01",
    b"\x26\x00\x01k\x00\x01v",
    b"\x27\x00\x00\x00\x40",
    b"\xc0\x00",
    b"\xe0\x00",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\x7f",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xef\xbb\xbf",
    b"\x00\x08$queue/a",
    b"\x00\x0f$s/earliest/a/#",
    b"\x00\x0c$delayed/1/a",
    b"\x00\x03a/a",
    b"\x26\x00\x04from\x00\x08earliest",
];

/// Makes inputs from inputs.
#[derive(Debug)]
pub(super) struct Mutator {
    random: Random,
}

impl Mutator {
    pub(super) const fn new(random: Random) -> Self {
        Self { random }
    }

    /// One of the inputs, changed a few times.
    pub(super) fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let pick = |random: &mut Random| match inputs.is_empty() {
            true => Vec::new(),
            false => inputs[random.below(inputs.len())].clone(),
        };
        let mut input = pick(&mut self.random);
        for _ in 0..=self.random.below(4) {
            let other = pick(&mut self.random);
            self.change(&mut input, &other);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let random = &mut self.random;
        let at = random.below(input.len() + 1);
        match random.below(10) {
            0 => set(input, at, random.byte()),
            1 => set(input, at, random.one_of(EDGES)),
            2 => flip(input, at, random.below(8)),
            3 => splice(input, at, 0, &[random.byte()]),
            4 => splice(input, at, 1 + random.below(8), &[]),
            5 => splice(input, at, random.below(4), random.one_of(PIECES)),
            6 => {
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + random.below(64)).min(other.len())];
                splice(input, at, random.below(piece.len() + 1), piece);
            }
            7 => splice(input, input.len(), 0, other),
            8 => {
                let end = (at + random.below(32)).min(input.len());
                let piece = input[at..end].repeat(1 + random.below(8));
                splice(input, at, 0, &piece);
            }
            _ => self.change_packet(input, other),
        }
    }

    /// Takes one packet out, changes its body, and puts it back with a right length.
    fn change_packet(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let packets = split(input);
        let Some(&(start, body, end)) = packets.get(self.random.below(packets.len())) else {
            return;
        };
        let mut content = input[body..end].to_vec();
        let at = self.random.below(content.len() + 1);
        let piece = match self.random.below(3) {
            0 => self.random.one_of(PIECES).to_vec(),
            1 => vec![self.random.byte()],
            _ => split(other).first().map_or(Vec::new(), |&(_, from, to)| other[from..to].to_vec()),
        };
        splice(&mut content, at, self.random.below(6), &piece);
        let mut packet = vec![input[start]];
        packet.extend(hex::varint(content.len()));
        packet.extend(content);
        input.splice(start..end, packet);
    }
}

/// Where each packet begins, its body begins and it ends, as far as the lengths make sense.
pub(super) fn split(input: &[u8]) -> Vec<(usize, usize, usize)> {
    let mut packets = Vec::new();
    let mut start = 0;
    while start + 2 <= input.len() {
        let digits = input[start + 1..].iter().take(4);
        let size = 1 + digits.take_while(|byte| **byte & 0x80 != 0).count();
        let body = start + 1 + size;
        let length = input.get(start + 1..body).unwrap_or_default().iter().rev();
        let length = length.fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        if size > 4 || body > input.len() {
            break;
        }
        let end = (body + length).min(input.len());
        packets.push((start, body, end));
        start = end;
    }
    packets
}

fn set(input: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = input.get_mut(at) {
        *place = byte;
    }
}

fn flip(input: &mut [u8], at: usize, bit: usize) {
    if let Some(place) = input.get_mut(at) {
        *place ^= 1 << bit;
    }
}

fn splice(input: &mut Vec<u8>, at: usize, count: usize, piece: &[u8]) {
    let end = (at + count).min(input.len());
    input.splice(at..end, piece.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::{INPUT_BYTES_MAX, Mutator, Random, split};

    #[test]
    fn packets_are_found_by_their_lengths() {
        assert_eq!(split(&[0xc0, 0, 0x40, 2, 0, 1, 0x30]), [(0, 2, 2), (2, 4, 6)]);
        let mut long = vec![0x30, 0x80, 1];
        long.extend([7; 128]);
        assert_eq!(split(&long), [(0, 3, 131)]);
        assert_eq!(split(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]), []);
    }

    #[test]
    fn changes_stay_in_bounds_and_do_not_repeat_themselves() {
        let mut mutator = Mutator::new(Random::new(7));
        let inputs = [vec![0xc0, 0], vec![0x30; 3000], Vec::new()];
        let made: Vec<Vec<u8>> = (0..2000).map(|_| mutator.next(&inputs)).collect();
        assert!(made.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
        let mut different = made.clone();
        different.sort();
        different.dedup();
        assert!(different.len() > 1000, "{} of 2000 differ", different.len());
    }
}
