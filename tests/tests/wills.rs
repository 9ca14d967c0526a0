//! Is the will of a lost client sent: once, at its time, with all it says, through crashes and
//! restarts? And is that of a client that took its leave, or came back in time, not?

use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::clock::Clock;
use tidewire_tests::wire::{Hello, LastWill, Publish, Version, Wire, frame, kind, property};

/// Clients get no grace after a restart, so that tests need not wait for it.
const NO_GRACE: &str = "[mqtt]\nwill_grace_after_restart_s = 0\n";
/// Long enough for a restart on a busy machine.
const GRACE: &str = "[mqtt]\nwill_grace_after_restart_s = 8\n";

fn watch(broker: &Broker) -> Wire {
    let mut watcher = Wire::clean(broker.address(), Version::V5, "");
    watcher.subscribe(1, &[("will/#", 1)]);
    watcher
}

/// A watcher whose session outlives the broker.
fn leave_a_watcher(broker: &Broker) {
    let (mut watcher, _) = Wire::resume(broker.address(), Version::V5, "watcher");
    watcher.subscribe(1, &[("will/#", 1)]);
    watcher.disconnect();
}

fn watch_again(broker: &Broker) -> Wire {
    Wire::resume(broker.address(), Version::V5, "watcher").0
}

/// A client with a will that waits `delay_s` and a session that waits `expiry_s`.
fn client(broker: &Broker, delay_s: u32, expiry_s: u32, is_clean: bool) -> Wire {
    let delay = property::will_delay(delay_s);
    let expiry = property::session_expiry(expiry_s);
    let will = LastWill { properties: &delay, ..LastWill::new("will/a", "gone") };
    let hello =
        Hello { clean: is_clean, properties: &expiry, will: Some(will), ..Hello::new("device") };
    Wire::greet(broker.address(), &hello).0
}

#[test]
fn a_will_waits_for_its_delay_and_not_longer() {
    let broker = Broker::start();
    let mut watcher = watch(&broker);
    let since = Instant::now();
    client(&broker, 2, 3600, true).vanish();
    watcher.receive("gone");
    let waited = since.elapsed();
    assert!(waited >= Duration::from_secs(2), "sent after {waited:?}");
    watcher.nothing_else_on("will/a");
}

#[test]
fn a_session_that_ends_before_the_delay_sends_the_will_when_it_ends() {
    let broker = Broker::start();
    let mut watcher = watch(&broker);
    let since = Instant::now();
    client(&broker, 3600, 1, true).vanish();
    watcher.receive("gone");
    assert!(since.elapsed() >= Duration::from_secs(1));
    client(&broker, 3600, 0, true).vanish();
    watcher.receive("gone");
    // With the connection's end by its own wish, but not in peace.
    let mut leaves = client(&broker, 3600, 60, true);
    leaves.send(&frame(0xe0, &[0x04, 5, 0x11, 0, 0, 0, 0]));
    watcher.receive("gone");
    watcher.nothing_else_on("will/a");
}

#[test]
fn a_client_that_is_back_in_time_has_no_will_sent() {
    let broker = Broker::start();
    let mut watcher = watch(&broker);
    client(&broker, 8, 60, true).vanish();
    let back = client(&broker, 1, 60, false);
    // Past the time of the first will.
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish(&Publish::new("$delayed/10/will/a", "ten seconds later", 0, 0));
    watcher.receive("ten seconds later");
    back.vanish();
    watcher.receive("gone");
    watcher.nothing_else_on("will/a");
}

#[test]
fn a_clean_start_ends_the_session_and_so_sends_the_will() {
    let broker = Broker::start();
    let mut watcher = watch(&broker);
    client(&broker, 3600, 3600, true).vanish();
    Wire::clean(broker.address(), Version::V5, "device").disconnect();
    watcher.receive("gone");
    // The same by takeover.
    let mut old = client(&broker, 3600, 3600, true);
    let new = Wire::clean(broker.address(), Version::V5, "device");
    assert_eq!(old.packet_of(kind::DISCONNECT).reason(), 0x8e);
    watcher.receive("gone");
    new.disconnect();
    watcher.nothing_else_on("will/a");
}

#[test]
fn a_takeover_that_resumes_the_session_sends_no_delayed_will() {
    let broker = Broker::start();
    let mut watcher = watch(&broker);
    let mut old = client(&broker, 3600, 3600, true);
    let new = client(&broker, 0, 3600, false);
    assert_eq!(old.packet_of(kind::DISCONNECT).reason(), 0x8e);
    watcher.nothing_else_on("will/a");
    // Without a delay nothing waits for anybody.
    let newest = client(&broker, 0, 3600, false);
    watcher.receive("gone");
    newest.disconnect();
    drop(new);
    watcher.nothing_else_on("will/a");
}

#[test]
fn a_client_that_takes_its_leave_has_no_will_unless_it_says_so() {
    let broker = Broker::start();
    let mut watcher = watch(&broker);
    client(&broker, 0, 60, true).disconnect();
    watcher.nothing_else_on("will/a");
    let mut leaves = client(&broker, 0, 60, true);
    leaves.send(&frame(0xe0, &[0x04]));
    watcher.receive("gone");
    watcher.nothing_else_on("will/a");
}

#[test]
fn a_will_says_all_that_it_was_given() {
    let broker = Broker::start();
    let mut watcher = watch(&broker);
    let properties = [
        vec![0x01, 1],
        property::message_expiry(600),
        property::text(0x03, b"text/plain"),
        property::text(0x08, b"will/answer"),
        property::text(0x09, &[0, 255]),
        property::user("b", "1"),
        property::user("a", "2"),
        property::user("b", "3"),
    ]
    .concat();
    let delay = [property::will_delay(1), properties.clone()].concat();
    let will =
        LastWill { qos: 2, retain: true, properties: &delay, ..LastWill::new("will/all", "gone") };
    let expiry = property::session_expiry(60);
    let hello = Hello { properties: &expiry, will: Some(will), ..Hello::new("device") };
    drop(Wire::greet(broker.address(), &hello));
    let message = watcher.packet_of(kind::PUBLISH);
    assert_eq!(message.topic(), "will/all");
    let length = u8::try_from(properties.len()).expect("short");
    let rest = [&[length][..], &properties, b"gone"].concat();
    assert!(message.body().ends_with(&rest), "{message}");
    let mut late = Wire::clean(broker.address(), Version::V5, "");
    late.subscribe(1, &[("will/all", 2)]);
    let kept = late.receive("gone");
    assert!(kept.is_retained() && kept.qos() == 2, "{kept}");
}

#[test]
fn a_kill_of_the_broker_loses_no_will_and_repeats_none() {
    for (delay_s, expiry_s) in [(0, 0), (0, 60), (1, 60)] {
        let mut broker = Broker::start_configured(NO_GRACE);
        leave_a_watcher(&broker);
        let device = client(&broker, delay_s, expiry_s, true);
        broker.kill9();
        drop(device);
        broker.restart();
        let mut watcher = watch_again(&broker);
        watcher.receive("gone");
        watcher.disconnect();
        // Its CONNACK says that the end of its last visit is on disk.
        drop(watch_again(&broker));
        broker.kill9();
        broker.restart();
        let mut watcher = watch_again(&broker);
        watcher.nothing_else_on("will/a");
    }
}

#[test]
fn a_will_that_waits_survives_a_kill() {
    let mut broker = Broker::start_configured(NO_GRACE);
    leave_a_watcher(&broker);
    client(&broker, 2, 60, true).vanish();
    // Another commit behind it: the end of its connection is durable.
    Wire::clean(broker.address(), Version::V5, "")
        .publish_acknowledged(&Publish::new("x", "x", 1, 1));
    broker.kill9();
    broker.restart();
    let mut watcher = watch_again(&broker);
    watcher.receive("gone");
    watcher.nothing_else_on("will/a");
}

#[test]
fn clients_that_are_back_soon_after_a_restart_are_not_called_lost() {
    for is_planned in [true, false] {
        let mut broker = Broker::start_configured(GRACE);
        leave_a_watcher(&broker);
        let since = Instant::now();
        let away =
            Hello { will: Some(LastWill::new("will/away", "stays away")), ..Hello::new("away") };
        let (away, _) = Wire::greet(broker.address(), &away);
        let devices = [client(&broker, 0, 0, true), away];
        if is_planned {
            broker.stop();
        } else {
            broker.kill9();
        }
        drop(devices);
        broker.restart();
        // A clean start will do: it was not the client that was lost.
        let device = client(&broker, 0, 0, true);
        let mut watcher = watch_again(&broker);
        watcher.receive("stays away");
        assert!(since.elapsed() >= Duration::from_secs(8));
        watcher.nothing_else_on("will/a");
        device.disconnect();
    }
}

#[test]
fn a_connection_that_is_refused_leaves_no_will() {
    let broker = Broker::start();
    let mut watcher = watch(&broker);
    for topic in ["$SYS/x", "$delayed/1/will/a"] {
        let mut wire = Wire::open(broker.address(), Version::V5);
        let hello = Hello { will: Some(LastWill::new(topic, "no")), ..Hello::new("device") };
        wire.send(&hello.bytes());
        assert!(wire.packet_of(kind::CONNACK).reason() >= 0x80);
    }
    watcher.nothing_else_on("will/a");
}

#[test]
fn a_session_that_nobody_comes_back_to_is_dropped_unasked() {
    let mut broker = Broker::start_configured(NO_GRACE);
    let expiry = property::session_expiry(1);
    let hello = Hello { properties: &expiry, ..Hello::new("visitor") };
    let (mut visitor, _) = Wire::greet(broker.address(), &hello);
    visitor.subscribe(1, &[("a", 1)]);
    // A crash ends the connection too; from then on its time runs.
    broker.kill9();
    drop(visitor);
    broker.restart();
    broker.stop();
    Clock::start().pass(2);
    broker.restart();
    broker.await_output("sessions whose time was over");
}
