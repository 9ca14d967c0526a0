//! What a question to the rules costs: `cargo bench -p tidewire-proto --bench access`.

use std::hint::black_box;
use std::time::Instant;

use tidewire_proto::access::{Action, Rules, Subject, Wide, parse_rules};

const RULES: usize = 1_000;
const ROUNDS: u32 = 2_000_000;

fn main() {
    let line = |number: usize, who: &str, at: &str| {
        let (plant, line) = (number / 10, number % 10);
        format!("allow {who} publish {at}/plant-{plant}/line-{line}/+/state\n")
    };
    let everybody: String = (0..RULES).map(|number| line(number, "everyone", "site")).collect();
    let users: String =
        (0..RULES).map(|number| line(number, &format!("user=u{number}"), "site")).collect();
    let names: String = (0..RULES)
        .map(|number| format!("allow everyone publish site/plant-{number}/%c/+/state\n"))
        .collect();
    for (shape, text, topic) in [
        ("1,000 for everybody", &everybody, "site/plant-42/line-7/press/state"),
        ("1,000, one for each user", &users, "site/plant-42/line-7/press/state"),
        ("1,000 with %c", &names, "site/plant-427/device-1/press/state"),
    ] {
        measure(shape, text, topic);
    }
}

fn measure(shape: &str, text: &str, topic: &str) {
    let parsed = parse_rules(text).expect("good rules");
    let rules = Rules::new(vec![parsed], Wide::Refuse);
    let subject =
        Subject { client_id: "device-1".into(), user: Some("u427".into()), ..Subject::default() };
    let started = Instant::now();
    let rights = rules.rights(subject);
    let ready = started.elapsed();
    assert!(rights.may(Action::Publish, topic), "{shape}: it is to be allowed");
    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(rights.may(Action::Publish, black_box(topic)));
    }
    let each = started.elapsed() / ROUNDS;
    // The one place of a bench where people read.
    println!("{shape}: {each:?} a question, rights of a subject in {ready:?}");
}
