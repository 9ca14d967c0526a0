//! Does the log say of each client when it came, when it went or why it was not let in, and how
//! many of them it left out?

use std::time::Instant;

use tidewire_tests::broker::Broker;
use tidewire_tests::over::Over;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::wire::{Hello, Version, Wire, kind};

const CLIENTS: usize = 200;

#[test]
fn each_client_has_a_line_when_it_comes_when_it_goes_and_when_it_is_refused() {
    let broker = Broker::start();
    let client = Wire::clean(broker.address(), Version::V4, "esp-12");
    let of_it = "\"client_id\":\"esp-12\",\"peer\":\"127.";
    broker.await_output(&format!("\"message\":\"client connected\",{of_it}"));
    broker.await_output("\"protocol\":\"3.1.1\",");
    client.vanish();
    broker.await_output(&format!("\"message\":\"client disconnected\",{of_it}"));
    broker.await_output("\"reason\":\"lost\",");
    let mut refused = Wire::open(broker.address(), Version::V5);
    refused.send(&Hello::new("$in-process/x").bytes());
    let _ = refused.packet_of(kind::CONNACK);
    let line = "\"message\":\"connection refused\",\"client_id\":\"$in-process/x\",\"peer\":\"127.";
    broker.await_output(line);
    broker.await_output("\"reason\":\"client_id\",\"words\":\"client ids that begin so are for");
}

/// How many lines say this, and how many more there would have been.
fn told(output: &str, message: &str, more: &str) -> usize {
    let left_out = |line: &str| -> Option<usize> {
        let number = line.split("\"untold\":").nth(1)?;
        number.split([',', '}']).next()?.parse().ok()
    };
    let lines = output.lines().filter(|line| line.contains(message)).count();
    let more = output.lines().filter(|line| line.contains(more)).filter_map(left_out);
    lines + more.sum::<usize>()
}

#[test]
fn of_very_many_at_once_some_have_lines_and_the_rest_is_counted() {
    let broker = Broker::start();
    for number in 0..CLIENTS {
        Wire::clean(broker.address(), Version::V5, &format!("one of many {number}")).disconnect();
    }
    let (began, never) = (Instant::now(), Over::default());
    for (message, more) in [
        ("\"message\":\"client connected\"", "more clients that connected are not told of"),
        ("\"message\":\"client disconnected\"", "more clients that disconnected are not told of"),
    ] {
        while told(&broker.output(), message, more) < CLIENTS {
            assert!(began.elapsed() < PATIENCE, "{}", broker.output());
            let _ = never.within(std::time::Duration::from_millis(20));
        }
        assert_eq!(told(&broker.output(), message, more), CLIENTS);
    }
}
