//! One random history: makes a step, tells the model, and reads from every client what the model
//! says, no more and no less.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;

use tidewire_tests::random::Random;
use tidewire_tests::wire::{Packet, Publish, Version, Wire, kind, unsubscribe};

use crate::rules::{Copy, Message, Wish, Wishes, matches};

const STEPS: usize = 60;
const TOPICS: [&str; 6] = ["m", "m/a", "m/a/b", "m/b", "$m/a", "/m"];
const FILTERS: [&str; 10] = ["#", "m/#", "m/+", "+/a", "m/a", "+/+/b", "m/a/b", "$m/#", "/+", "m"];
const VERSIONS: [Version; 3] = [Version::V5, Version::V4, Version::V5];

/// A client, its session as the model has it, and its connection.
struct Client {
    name: String,
    version: Version,
    wishes: Wishes,
    waiting: Vec<Message>,
    wire: Option<Wire>,
    /// What the model says that it must still be sent.
    due: Vec<Copy>,
}

pub(crate) struct History {
    broker: SocketAddr,
    random: Random,
    clients: Vec<Client>,
    writer: Wire,
    retained: BTreeMap<&'static str, Message>,
    published: u32,
    story: Story,
}

/// What happened, told when it went wrong.
struct Story {
    seed: u64,
    steps: Vec<String>,
}

impl Drop for Story {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("TIDEWIRE_MODEL_SEED={}\n{}", self.seed, self.steps.join("\n"));
        }
    }
}

impl History {
    pub(crate) fn new(broker: SocketAddr, seed: u64) -> Self {
        let clients = VERSIONS.iter().enumerate().map(|(at, version)| Client {
            name: format!("model-{at}"),
            version: *version,
            wishes: Wishes::default(),
            waiting: Vec::new(),
            wire: None,
            due: Vec::new(),
        });
        let writer = Wire::clean(broker, Version::V5, "model-writer");
        Self {
            broker,
            random: Random::new(seed),
            clients: clients.collect(),
            writer,
            retained: BTreeMap::new(),
            published: 0,
            story: Story { seed, steps: Vec::new() },
        }
    }

    /// How many steps were made.
    pub(crate) fn play(&mut self) -> usize {
        for _ in 0..STEPS {
            let at = self.random.below(self.clients.len());
            match self.random.below(12) {
                0 | 1 if self.clients[at].wire.is_none() => self.connect(at),
                0 => self.leave(at),
                2..=4 => self.subscribe(at),
                5 => self.unsubscribe(at),
                _ => self.publish(at),
            }
            self.settle();
        }
        for at in 0..self.clients.len() {
            if self.clients[at].wire.is_none() {
                self.connect(at);
                self.settle();
            }
        }
        self.end();
        STEPS
    }

    /// Leaves nothing behind for the next history.
    pub(crate) fn clear(mut self) {
        for client in &mut self.clients {
            drop(client.wire.take());
            Wire::clean(self.broker, client.version, &client.name).disconnect();
        }
        for topic in self.retained.keys() {
            let empty = Publish::new(topic, "", 1, 1).retained();
            self.writer.publish_acknowledged(&empty);
        }
        self.writer.disconnect();
    }

    fn tell(&mut self, step: String) {
        self.story.steps.push(step);
    }

    fn connect(&mut self, at: usize) {
        self.tell(format!("{at} connects"));
        let client = &mut self.clients[at];
        let (wire, _) = Wire::resume(self.broker, client.version, &client.name);
        client.wire = Some(wire);
        for message in std::mem::take(&mut client.waiting) {
            client.due.extend(client.wishes.copy(at, &message));
        }
    }

    fn leave(&mut self, at: usize) {
        let is_polite = self.random.below(2) == 0;
        self.tell(format!("{at} leaves, politely: {is_polite}"));
        match self.clients[at].wire.take() {
            Some(wire) if is_polite => wire.disconnect(),
            other => drop(other),
        }
    }

    fn subscribe(&mut self, at: usize) {
        const HANDLINGS: usize = 3;
        if self.clients[at].wire.is_none() {
            return;
        }
        let is_v5 = self.clients[at].version == Version::V5;
        let filter = self.random.one_of(&FILTERS);
        let mut wish = Wish {
            qos: u8::try_from(self.random.below(3)).expect("three levels"),
            no_local: is_v5 && self.random.below(3) == 0,
            as_published: is_v5 && self.random.below(2) == 0,
            id: if is_v5 { self.random.byte() % 100 } else { 0 },
        };
        if self.random.below(2) == 0 {
            wish.id = 0;
        }
        let handling = if is_v5 { self.random.below(HANDLINGS) } else { 0 };
        self.tell(format!("{at} subscribes to {filter}, {wish:?}, retained {handling}"));
        let client = &mut self.clients[at];
        let wire = client.wire.as_mut().expect("looked at above");
        let handling = u8::try_from(handling).expect("three of them");
        let options = wish.qos
            | u8::from(wish.no_local) << 2
            | u8::from(wish.as_published) << 3
            | handling << 4;
        let properties = match (is_v5, wish.id) {
            (false, _) => String::new(),
            (true, 0) => "[]".to_owned(),
            (true, id) => format!("[0b {id:02x}]"),
        };
        wire.say(0x82, &format!("00 01 {properties} $'{filter}' {options:02x}"));
        let suback = wire.packet_of(kind::SUBACK);
        assert_eq!(suback.body().last(), Some(&wish.qos), "{suback}");
        let is_new = client.wishes.0.insert(filter, wish).is_none();
        if handling == 0 || (handling == 1 && is_new) {
            let found = self.retained.values().filter(|message| matches(filter, message.topic));
            client.due.extend(found.map(|message| Wishes::greeting(wish, message)));
        }
    }

    fn unsubscribe(&mut self, at: usize) {
        let filter = self.random.one_of(&FILTERS);
        let client = &mut self.clients[at];
        let Some(wire) = &mut client.wire else { return };
        wire.send(&unsubscribe(client.version, 2, &[filter]));
        let unsuback = wire.packet_of(kind::UNSUBACK);
        let was_there = client.wishes.0.remove(filter).is_some();
        if client.version == Version::V5 {
            let code = if was_there { 0 } else { 0x11 };
            assert_eq!(unsuback.body().last(), Some(&code), "{unsuback}");
        }
        self.tell(format!("{at} unsubscribes from {filter}"));
    }

    /// By a client, not retained; or by the writer, who only writes.
    fn publish(&mut self, at: usize) {
        let is_client = self.clients[at].wire.is_some() && self.random.below(2) == 0;
        let retain = !is_client && self.random.below(2) == 0;
        let topic = self.random.one_of(&TOPICS);
        self.published += 1;
        let payload = match retain && self.random.below(4) == 0 {
            true => String::new(),
            false => format!("{}", self.published),
        };
        let qos = u8::try_from(self.random.below(3)).expect("three levels");
        let from = is_client.then_some(at);
        let message = Message { topic, payload, qos, retain, from };
        self.tell(format!("{message:?}"));
        let packet = Publish { retain, ..Publish::new(topic, &message.payload, qos, 7) };
        let wire = match (&mut self.clients[at].wire, is_client) {
            (Some(wire), true) => wire,
            _ => &mut self.writer,
        };
        wire.publish_acknowledged(&packet);
        if qos == 0 {
            // Nothing answers it. One behind it is answered when both are handed out.
            wire.publish_acknowledged(&Publish::new("$barrier/any", "", 1, 8));
        }
        if retain && message.payload.is_empty() {
            self.retained.remove(topic);
        } else if retain {
            // Nobody shares the writer's client id, so No Local never asks for it.
            self.retained.insert(topic, message.clone());
        }
        for (client_at, client) in self.clients.iter_mut().enumerate() {
            let copy = client.wishes.copy(client_at, &message);
            match &client.wire {
                Some(_) => client.due.extend(copy),
                // At QoS 0 nobody waits for anybody.
                None if copy.is_some_and(|copy| copy.qos > 0) => {
                    client.waiting.push(message.clone());
                }
                None => (),
            }
        }
    }

    /// Reads everywhere what is due.
    fn settle(&mut self) {
        for at in 0..self.clients.len() {
            let due = std::mem::take(&mut self.clients[at].due);
            let Some(wire) = &mut self.clients[at].wire else { continue };
            let got: Vec<Copy> = due.iter().map(|_| receive(wire)).collect();
            if let Err(problem) = compare(&due, &got) {
                panic!("client {at}: {problem}");
            }
        }
    }

    /// All leave what they asked for; a message of its own then comes to each, and nothing before.
    fn end(&mut self) {
        for client in &mut self.clients {
            let Some(wire) = &mut client.wire else { continue };
            wire.send(&unsubscribe(client.version, 8, &FILTERS));
            wire.packet_of(kind::UNSUBACK);
            client.wishes.0.clear();
        }
        for at in 0..self.clients.len() {
            let Some(wire) = &mut self.clients[at].wire else { continue };
            let mark = format!("end/{at}");
            wire.subscribe(9, &[(&mark, 1)]);
            self.writer.publish_acknowledged(&Publish::new(&mark, "end", 1, 1));
            let last = receive(wire);
            assert!(last.topic == mark, "client {at} got {last:?}, and nothing was due");
        }
    }
}

/// The next message, answered to the end of its exchange.
fn receive(wire: &mut Wire) -> Copy {
    let message = wire.packet_of(kind::PUBLISH);
    assert!(!message.is_dup(), "{message}");
    let copy = copy_of(&message);
    match message.qos() {
        0 => (),
        1 => wire.acknowledge(kind::PUBACK, message.id()),
        _ => {
            wire.acknowledge(kind::PUBREC, message.id());
            wire.answered(kind::PUBREL, message.id());
            wire.acknowledge(kind::PUBCOMP, message.id());
        }
    }
    copy
}

fn copy_of(message: &Packet) -> Copy {
    let properties = message.properties();
    let ids = properties.into_iter().filter(|(number, _)| *number == 0x0b);
    let mut ids: Vec<u8> = ids.map(|(_, value)| value[0]).collect();
    ids.sort_unstable();
    Copy {
        topic: message.topic(),
        payload: message.payload_text(),
        qos: message.qos(),
        retain: Some(message.is_retained()),
        ids,
    }
}

/// The same copies, and those of one topic in the same order.
fn compare(due: &[Copy], got: &[Copy]) -> Result<(), String> {
    let topics = |copies: &[Copy]| {
        let mut by_topic: BTreeMap<String, Vec<Copy>> = BTreeMap::new();
        for copy in copies {
            by_topic.entry(copy.topic.clone()).or_default().push(copy.clone());
        }
        by_topic
    };
    let (wanted, mut found) = (topics(due), topics(got));
    for (topic, copies) in &wanted {
        for (at, copy) in copies.iter().enumerate() {
            let other = found.get_mut(topic).and_then(|others| others.get_mut(at));
            if let (None, Some(other)) = (copy.retain, other) {
                other.retain = None;
            }
        }
    }
    match wanted == found {
        true => Ok(()),
        false => Err(format!("due was {due:#?}\ngot was {got:#?}")),
    }
}
