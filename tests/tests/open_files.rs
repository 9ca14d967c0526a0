//! Does a broker that the system gives few open files keep what it needs for itself?

use std::net::{Ipv4Addr, TcpStream};

use tidewire_tests::broker::Broker;
use tidewire_tests::doors::connect_from;
use tidewire_tests::wire::{Publish, Version, Wire};

#[test]
fn sockets_that_anybody_opens_take_no_files_from_the_store() {
    let mut broker = Broker::start_with_open_files(300);
    let address = broker.address();
    let (mut device, _) = Wire::resume(address, Version::V5, "device");
    let flood: Vec<_> = (0..400).map(|_| TcpStream::connect(address).expect("a port")).collect();
    // More than a log file holds, and more than the next one does.
    let payload = "x".repeat(64 << 10);
    let publish = |device: &mut Wire, times: u16| {
        for id in 1..=times {
            let message = Publish::new("plant/line", &payload, 1, id);
            device.publish_acknowledged(&message);
        }
    };
    publish(&mut device, 320);
    drop(flood);
    publish(&mut device, 10);
    device.disconnect();
    let (mut other, _) = Wire::resume(address, Version::V5, "other");
    publish(&mut other, 1);
    broker.kill9();
    broker.restart();
    Wire::resume(broker.address(), Version::V5, "device").0.disconnect();
}

#[test]
fn where_files_are_few_silent_sockets_of_an_address_leave_places_to_who_comes_in() {
    let broker = Broker::start_with_open_files(300);
    let address = broker.address();
    let silent = || connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), address);
    // As many as there are places for MQTT clients.
    let _silent: Vec<_> = (0..150).map(|_| silent()).collect();
    Wire::resume(address, Version::V5, "device").0.disconnect();
}
