//! A whole broker as a target: bytes in pieces into a fresh connection, and afterwards everybody
//! else is served as before.

use std::net::SocketAddr;
use std::time::Duration;

use super::mutate::split;
use super::outcome::{Outcome, mark};
use crate::hex;
use crate::wire::{Packet, Version, Wire, connect, kind};

/// How many inputs are shown when the broker fails: the last one may not be the guilty one.
const REMEMBERED: usize = 20;
/// More answers than these are read, but not told apart.
const ANSWERS_MARKED: usize = 24;
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a sync.
const LINGER: Duration = Duration::from_millis(8);

/// A client that means harm, and one beside it that must not feel it.
#[derive(Debug)]
pub struct Session {
    broker: SocketAddr,
    beside: Wire,
    remembered: Vec<Vec<u8>>,
}

impl Session {
    /// # Panics
    /// When the broker does not take an honest client.
    #[must_use]
    pub fn new(broker: SocketAddr) -> Self {
        let beside = Wire::clean(broker, Version::V5, "beside");
        beside.be_patient_for(PATIENCE);
        Self { broker, beside, remembered: Vec::new() }
    }

    /// Sends the bytes, cut as they themselves say, and listens to the end.
    ///
    /// # Panics
    /// When the broker does not answer, or no longer serves the other client.
    pub fn target(&mut self, input: &[u8]) -> Outcome {
        if self.remembered.len() == REMEMBERED {
            self.remembered.remove(0);
        }
        self.remembered.push(input.to_vec());
        let heard = self.play(input).unwrap_or_else(|problem| self.fail(&problem));
        self.beside.send_if_open(&[0xc0, 0]);
        match self.beside.try_packet() {
            Ok(Some(packet)) if packet.kind() == kind::PINGRESP => marks(input, &heard),
            other => self.fail(&format!("the client beside heard {other:?}")),
        }
    }

    /// All packets up to the end of the connection or the answer to our PINGREQ.
    fn play(&self, input: &[u8]) -> Result<Vec<Packet>, String> {
        // The version decides only how packets are shown.
        let mut wire = Wire::open(self.broker, Version::V5);
        wire.be_patient_for(PATIENCE);
        if let Some(hello) = hello(input) {
            wire.send_if_open(&hello);
        }
        for piece in pieces(input) {
            wire.send_if_open(piece);
        }
        wire.send_if_open(&[0xc0, 0]);
        let mut heard = Vec::new();
        if weight(input).is_multiple_of(4) {
            // Some are waited for, so that answers come which the disk holds up.
            wire.be_patient_for(LINGER);
            while let Ok(Some(packet)) = wire.try_packet() {
                heard.push(packet);
            }
            wire.be_patient_for(PATIENCE);
            wire.drain()?;
            return Ok(heard);
        }
        // Ends what is not a packet yet, so that nothing is waited for in vain.
        wire.shut_down();
        while let Some(packet) = wire.try_packet()? {
            heard.push(packet);
        }
        Ok(heard)
    }

    fn fail(&self, problem: &str) -> ! {
        let inputs = self.remembered.iter().map(|input| hex::show(input));
        let inputs: Vec<String> = inputs.collect();
        panic!("{problem}\nthe last inputs, newest last:\n{}", inputs.join("\n"));
    }
}

/// Most inputs that do not begin with CONNECT get an honest one before them, or they would all
/// end at the door.
fn hello(input: &[u8]) -> Option<Vec<u8>> {
    let choice = weight(input) / 256;
    let version = if choice.is_multiple_of(2) { Version::V5 } else { Version::V4 };
    let is_known = choice.is_multiple_of(3);
    let is_stranger = input.first().is_none_or(|first| first >> 4 != 1);
    let is_met = is_stranger && choice % 8 != 7;
    is_met.then(|| match is_known {
        true => connect(version, "fuzz-known", false, 60, None),
        false => connect(version, "", true, 60, None),
    })
}

/// What the bytes choose for themselves.
fn weight(input: &[u8]) -> usize {
    input.iter().map(|byte| usize::from(*byte)).sum()
}

/// The bytes choose where they are cut: in one piece, at packets, or anywhere.
fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let choice = weight(input) / 4;
    let step = match choice % 4 {
        0 => return vec![input],
        1 => return split(input).iter().map(|&(start, _, end)| &input[start..end]).collect(),
        2 => 1 + choice % 7,
        _ => 1 + choice % 61,
    };
    input.chunks(step.max(input.len() / 64)).collect()
}

/// What was asked and what was answered, in pairs of neighbours.
fn marks(input: &[u8], heard: &[Packet]) -> Outcome {
    let asked =
        split(input).iter().fold(0_u16, |kinds, &(start, ..)| kinds | 1 << (input[start] >> 4));
    let mut before = 0;
    let mut outcome = vec![mark(&(heard.len().min(8), asked.count_ones()))];
    for packet in heard.iter().take(ANSWERS_MARKED) {
        let told = match packet.kind() {
            kind::CONNACK | kind::DISCONNECT => packet.reason(),
            kind::PUBLISH => packet.qos() << 2 | u8::from(packet.is_dup()) << 1,
            kind::PUBACK..=kind::PUBCOMP => packet.body().get(2).copied().unwrap_or(0),
            _ => packet.body().last().copied().unwrap_or(0),
        };
        let now = (packet.kind(), told);
        outcome.push(mark(&(before, now)));
        before = packet.kind();
    }
    outcome
}
