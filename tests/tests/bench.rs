//! Does the load generator measure what it says? Each workload runs briefly against a broker, and
//! against one that loses what it was given.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::places;

fn bench(to: &str, words: &[&str]) -> Output {
    let mut command = Command::new(places::built_program("tidewire"));
    command.arg("bench").args(words).args(["--json", "--to", to]);
    command.args(["--seconds", "0.3", "--warm-up", "0"]);
    command.output().expect("the program runs")
}

/// A number of the report, found by its name.
fn figure(report: &str, name: &str) -> f64 {
    let (_, rest) = report.split_once(&format!("\"{name}\":")).unwrap_or_else(|| {
        panic!("no {name} in {report}");
    });
    let end = rest.find([',', '}']).expect("an end");
    rest[..end].parse().expect("a number")
}

#[test]
fn every_workload_runs_and_finds_nothing_lost_repeated_or_out_of_order() {
    let broker = Broker::start();
    let pid = broker.id().to_string();
    for words in [
        &["fan-in", "--qos", "0"][..],
        &["fan-in", "--qos", "1", "--protocol", "5"],
        &["fan-in", "--qos", "2"],
        &["fan-in", "--publishers", "20", "--rate", "2000", "--qos", "1"],
        &["fan-out", "--subscribers", "20", "--undelivered", "50"],
        &["pairs", "--pairs", "5", "--qos", "1", "--payload", "24"],
        &["shared", "--qos", "1", "--protocol", "5"],
        &["offline", "--qos", "1", "--messages", "5000", "--sessions", "3"],
        &["retained", "--qos", "2", "--messages", "2000"],
        &["connect", "--connections", "200", "--subscribe"],
    ] {
        let output = bench(&broker.address().to_string(), &[words, &["--pid", &pid]].concat());
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{words:?}: {report} {output:?}");
        assert!(figure(&report, what_came(words)) > 0.0, "{words:?}: {report}");
        assert!(figure(&report, "broker_cpu_us_each") > 0.0, "{words:?}: {report}");
        if words[0] != "connect" {
            assert_eq!(figure(&report, "foreign"), 0.0, "{words:?}: {report}");
        }
    }
}

/// A count of the whole run: in the time that is measured a disk may stand still.
fn what_came(words: &[&str]) -> &'static str {
    if words[0] == "connect" { "count" } else { "delivered" }
}

#[test]
fn every_workload_goes_over_tls_and_websocket() {
    let authority = Authority::new("bench");
    let pair = authority.sign("broker", Use::Server, &["127.0.0.1"]);
    let tls = format!("cert_file = {:?}\nkey_file = {:?}\n", pair.cert, pair.key);
    let broker = Broker::start_configured(&format!(
        "[listener.mqtts]\nbind = \"127.0.0.1:0\"\n[listener.mqtts.tls]\n{tls}\
         [listener.websocket]\nbind = \"127.0.0.1:0\"\n\
         [listener.wss]\nbind = \"127.0.0.1:0\"\n[listener.wss.tls]\n{tls}"
    ));
    let ca = authority.path();
    let ca = ["--cafile", ca.to_str().expect("text")];
    for (scheme, more) in [("mqtts", &ca[..]), ("ws", &[]), ("wss", &ca)] {
        let to = format!("{scheme}://{}", broker.address_of(scheme));
        for words in [
            &["fan-in", "--qos", "2"][..],
            &["fan-in", "--publishers", "5", "--rate", "500", "--qos", "1", "--protocol", "5"],
            &["pairs", "--pairs", "3", "--qos", "1", "--payload", "30000"],
            &["offline", "--qos", "1", "--messages", "1000"],
            &["connect", "--connections", "20", "--subscribe"],
        ] {
            let output = bench(&to, &[words, more].concat());
            let report = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{scheme} {words:?}: {report} {output:?}");
            assert!(figure(&report, what_came(words)) > 0.0, "{scheme} {words:?}: {report}");
        }
    }
}

#[test]
fn a_kafka_port_is_written_and_read_and_nothing_is_lost_repeated_or_out_of_order() {
    let broker = Broker::start();
    let (to, pid) = (broker.kafka_address().to_string(), broker.id().to_string());
    for (messages, batch, delivered) in [("20000", "100", 20_000.0), ("7", "3", 7.0)] {
        let words = ["kafka", "--messages", messages, "--batch", batch, "--pid", &pid];
        let output = bench(&to, &words);
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{report} {output:?}");
        assert_eq!(figure(&report, "delivered"), delivered, "{report}");
        for phase in ["written", "read"] {
            assert!(report.contains(&format!("\"name\":\"{phase}\"")), "{report}");
        }
    }
    let output = bench(&to, &["kafka", "--topic", "a stream that is not there"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("a stream that is not"), "{told}");
}

#[test]
fn a_page_shows_how_a_run_went_and_fetches_nothing() {
    let broker = Broker::start();
    let folder = TempDir::new().expect("a folder");
    let pid = broker.id().to_string();
    for (words, plots) in [
        (&["fan-in", "--qos", "1"][..], &["delivered", "latency by share", "memory"][..]),
        (&["retained", "--qos", "1", "--messages", "60000"], &["stored"]),
    ] {
        let file = folder.path().join("page.html");
        let file = file.to_str().expect("text");
        let more = ["--html", file, "--pid", &pid];
        let output = bench(&broker.address().to_string(), &[words, &more].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
        let page = fs::read_to_string(file).expect("the page");
        for plot in plots {
            assert!(page.contains(&format!("{plot}</text>")), "{plot} in {page}");
        }
        assert!(page.contains(&format!("tidewire bench {}", words[0])), "{page}");
        for fetched in ["<script", "<link", "src=", "url(", "http:", "https:"] {
            assert!(!page.contains(fetched), "{fetched} in {page}");
        }
    }
    let nowhere = ["fan-in", "--html", "/no-such-folder/page.html"];
    let output = bench(&broker.address().to_string(), &nowhere);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("/no-such-folder/page.html"), "{told}");
}

#[test]
fn what_a_broker_acknowledges_and_does_not_deliver_is_reported_as_lost() {
    let address = forgetful_broker();
    let output =
        bench(&address.to_string(), &["fan-in", "--publishers", "1", "--undelivered", "50"]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{report}");
    assert_eq!(figure(&report, "lost"), 50.0, "{report}");
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let output = bench(&address.to_string(), &["fan-in"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(&address.to_string()), "{told}");
}

/// Agrees to everything and delivers nothing.
fn forgetful_broker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut bytes = [0; 65536];
                while let Ok(read @ 1..) = stream.read(&mut bytes) {
                    let answer: &[u8] = match bytes[0] {
                        0x10 => &[0x20, 2, 0, 0],
                        0x82 => &[0x90, 3, 0, 1, 0],
                        _ => &[],
                    };
                    assert!(read > 0);
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
