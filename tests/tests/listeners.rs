//! Does a listener that is full turn clients away, and no other with it?

use std::time::Instant;

use tidewire_tests::broker::Broker;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::wire::{Hello, Version, Wire};

#[test]
fn a_listener_that_is_full_takes_nobody_more_and_the_others_do() {
    let broker = Broker::start_configured(
        "[listener.mqtt]\nconnections_max = 2\n[listener.websocket]\nbind = \"127.0.0.1:0\"\n",
    );
    let [first, _second] = ["a", "b"].map(|name| Wire::clean(broker.address(), Version::V5, name));
    let is_refused = |name: &str| {
        let mut wire = Wire::open(broker.address(), Version::V5);
        wire.send_if_open(&Hello::new(name).bytes());
        wire.packet_or_end().is_none()
    };
    for name in ["c", "d", "e"] {
        assert!(is_refused(name), "{name}");
    }
    let mut page = Wire::open(broker.web_address(), Version::V5);
    page.send(
        b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Protocol: mqtt\r\n\r\n",
    );
    page.expect(b"HTTP/1.1 101");
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    while is_refused("f") {
        assert!(Instant::now() < deadline, "the place of who left stays taken");
    }
}
