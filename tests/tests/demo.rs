//! Does `tidewire demo` give something to look at, and end when it is told to?

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::deaf::Deaf;
use tidewire_tests::program::Program;
use tidewire_tests::typed::{tidewire, typed};

fn interrupt(program: &Program) {
    let id = i32::try_from(program.id()).expect("a process");
    kill_process(Pid::from_raw(id).expect("a process"), Signal::INT).expect("our child");
}

#[test]
fn devices_publish_and_what_they_print_shows_it() {
    let broker = Broker::start();
    let url = format!("mqtt://{}", broker.address());
    let said = typed(&["demo", "--count", "3", "--interval", "1ms", "--url", &url]).well();
    assert!(said.contains("20 devices publish below demo/ at "), "{said}");
    assert!(said.contains("20 devices, 120 messages acknowledged"), "{said}");
    let command = said.lines().find(|line| line.contains("sub 'demo/#'")).expect("in the text");
    assert!(command.ends_with(&format!("--url {url}")), "{command}");

    let words = ["sub", "demo/+/+/temperature", "-v", "--from", "earliest", "--until-end"];
    let shown = typed(&[&words[..], &["--url", &url]].concat()).well();
    assert_eq!(shown.lines().count(), 60, "{shown}");
    assert_eq!(shown.matches("demo/line-5/mixer-20/temperature ").count(), 3, "{shown}");
    let words = ["sub", "demo/+/+/state", "--retained-only", "--until-end", "--json"];
    let shown = typed(&[&words[..], &["--url", &url]].concat()).well();
    assert_eq!(shown.matches("\\\"seq\\\":3,").count(), 20, "{shown}");
}

#[test]
fn ctrl_c_ends_it_when_all_is_acknowledged() {
    let broker = Broker::start();
    let url = format!("mqtt://{}", broker.address());
    let mut demo = Program::start(&mut tidewire(&["demo", "--interval", "10ms", "--url", &url]));
    let words = ["sub", "demo/#", "-C", "200", "--url", &url];
    let _ = typed(&words).well();
    interrupt(&demo);
    let lines = demo.succeeds();
    let last = lines.last().expect("a line");
    assert!(last.starts_with("20 devices, ") && last.contains(" acknowledged in "), "{last}");
}

#[test]
fn ctrl_c_ends_it_also_while_nobody_lets_it_in() {
    let deaf = Deaf::open();
    let mut demo = Program::start(&mut tidewire(&["demo", "--url", &deaf.url()]));
    let _waits = deaf.client();
    let status = demo.interrupted();
    assert!(status.success(), "{status}: {}", demo.output());
    demo.await_output(", 0 messages acknowledged");
}

#[test]
fn with_a_broker_of_its_own_which_goes_with_it() {
    let folder = TempDir::new().expect("a folder");
    let mut command = tidewire(&["demo", "--serve", "--interval", "10ms"]);
    command.args(["--mqtt", "127.0.0.1:0", "--kafka", "off", "--http", "off", "--devices", "2"]);
    let mut demo = Program::start(command.current_dir(folder.path()));
    demo.await_output("2 devices publish below demo/ at mqtt://127.0.0.1:");
    let output = demo.output();
    let (_, behind) = output.split_once("demo/ at ").expect("just seen");
    let url = behind.split(". Look").next().expect("a URL");
    let _ = typed(&["sub", "demo/#", "-C", "20", "--url", url]).well();
    interrupt(&demo);
    let _ = demo.succeeds();
    let data = folder.path().join("tidewire-data");
    let data = data.to_str().expect("UTF-8");
    let _ = typed(&["log", "verify", "--data", data]).well();
}

#[test]
fn the_banner_says_commands_that_work() {
    let broker = Broker::start();
    let line = |part: &str| {
        let output = broker.output();
        let line = output.lines().find(|line| line.contains(part)).expect("in the banner");
        line.trim_start().trim_start_matches("try").trim_start().to_owned()
    };
    // More words go before the note.
    let run = |line: &str, more: &str| {
        let line = line.replace(" # ", &format!(" {more} # "));
        Program::start(Command::new("sh").args(["-c", &line])).succeeds()
    };
    broker.await_output("demo --url");
    let _ = run(&format!("{} --retain", line(" pub sensors/t1 ")), "");
    let shown = run(&line(" sub 'sensors/#' "), "-C 1");
    assert_eq!(shown, ["sensors/t1 21.5"]);
    let shown = run(&line("kcat -b "), "");
    assert_eq!(shown, ["21.5"]);
}
