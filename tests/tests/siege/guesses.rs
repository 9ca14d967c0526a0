//! Wrong passwords, from one address and from everywhere.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Instant;

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::doors::connect_from;
use tidewire_tests::siege::{MIB, bear, is_full, sized, slowdown};
use tidewire_tests::users;
use tidewire_tests::wire::{Hello, Version, Wire, kind};

const PIECES: usize = 10;
const BAD_PASSWORD: u8 = 0x86;
const BUSY: u8 = 0x89;
const RATE_EXCEEDED: u8 = 0x9f;

/// A broker that knows ann, and lets others in who do not say who they are.
fn start(auth: &str) -> (Broker, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    users::write(&file, &["ann"]);
    let config = Configured::new(&format!(
        "[listener.mqtt]\nanonymous = \"allow\"\n[auth]\npassword_file = {file:?}\n{auth}"
    ));
    (config.start(), folder)
}

/// What CONNECT with a wrong password is answered.
fn guess(broker: SocketAddr, from: IpAddr, user: &str, number: usize) -> u8 {
    let mut wire = Wire::on(connect_from(from, broker), Version::V5);
    let (client_id, password) = (format!("guess-{number}"), number.to_string());
    wire.send(&Hello { login: Some((user, &password)), ..Hello::new(&client_id) }.bytes());
    wire.packet_of(kind::CONNACK).body()[1]
}

/// Guesses in pieces beside an honest client, and tells how often each answer was given.
fn guess_all(broker: &Broker, each: usize, guess: impl Fn(usize) -> u8 + Sync) -> Counts {
    let (counts, began) = (Mutex::new(Counts::new()), Instant::now());
    let ratio = bear(broker, 64 * MIB, |broker| {
        slowdown(broker, PIECES, |piece| {
            for number in piece * each..(piece + 1) * each {
                let code = guess(number);
                *counts.lock().expect("nobody panics with it").entry(code).or_default() += 1;
            }
        })
    });
    let counts = counts.into_inner().expect("nobody panics with it");
    println!("{} wrong passwords in {:?}", PIECES * each, began.elapsed());
    counts.iter().for_each(|(code, count)| println!("{count} were answered {code:#x}"));
    println!("a ping takes {ratio:.2} times as long as in the rests (median of {PIECES})");
    // Where the machine is not ours alone, others make more of a difference than guesses.
    assert!(!is_full() || ratio <= 2.0, "{ratio}");
    counts
}

type Counts = BTreeMap<u8, usize>;

#[test]
fn wrong_passwords_from_one_address_do_not_hold_up_others() {
    let (broker, _folder) = start("");
    let each = sized(10_000, 60);
    let (address, from) = (broker.address(), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    let counts = guess_all(&broker, each, |number| guess(address, from, "ann", number));
    // Sixty at once, and another with each second.
    assert!((60..PIECES * each).contains(&counts[&BAD_PASSWORD]), "{counts:?}");
    let told = counts.iter().all(|(code, _)| [BAD_PASSWORD, RATE_EXCEEDED].contains(code));
    assert!(told && counts.contains_key(&RATE_EXCEEDED), "{counts:?}");
}

/// Each is looked at: no address and no user has guessed before.
#[test]
fn wrong_passwords_from_everywhere_do_not_hold_up_others() {
    let (broker, _folder) = start("");
    let address = broker.address();
    let counts = guess_all(&broker, sized(200, 2), |number| {
        let [.., high, low] = u32::try_from(number).expect("few").to_be_bytes();
        let from = IpAddr::V4(Ipv4Addr::new(127, 1, high, low.max(1)));
        guess(address, from, &format!("user-{number}"), number)
    });
    let told = counts.iter().all(|(code, _)| [BAD_PASSWORD, BUSY].contains(code));
    assert!(told && counts.contains_key(&BAD_PASSWORD), "{counts:?}");
}
