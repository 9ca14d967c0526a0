//! Does the broker tell which topics there are and what came at each, level by level, within its
//! bounds, and to whom it may?

use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::http::Http;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::typed::typed;
use tidewire_tests::wire::{Publish, Version, Wire, kind, publish};

fn start(more: &str) -> (Broker, Http) {
    let settings = format!("[listener.http]\nbind = \"127.0.0.1:0\"\n{more}");
    let broker = Broker::start_configured(&settings);
    let http = Http::new(broker.http_address());
    (broker, http)
}

/// Each at QoS 1, and acknowledged.
fn tell(broker: &Broker, messages: &[(&str, &str, bool)]) {
    let mut wire = Wire::clean(broker.address(), Version::V5, "teller");
    for (topic, payload, retain) in messages {
        let message = Publish::new(topic, payload, 1, 7);
        wire.publish_acknowledged(&Publish { retain: *retain, ..message });
    }
    wire.disconnect();
}

/// A site with two lines, and what else there is.
fn site(broker: &Broker) {
    tell(
        broker,
        &[
            ("site/1/temp", "21.5", false),
            ("site/1/temp", "21.75", false),
            ("site/1/state", "on", true),
            ("site/1", "whole", false),
            ("site/10/temp", "3", false),
            ("site/2/temp", "", false),
            ("site-2/temp", "7", true),
            ("/odd", "1", false),
        ],
    );
}

/// The first page, when all was counted that had come.
fn counted(http: &Http, path: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = http.granted("GET", path, None);
        if page["counted"]["waiting"] == 0 {
            return page;
        }
        assert!(Instant::now() < deadline, "{page}");
    }
}

/// `topic messages bytes`, a `*` for a branch and how many topics are in it.
fn shown(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("a list").iter();
    let shown = items.map(|item| {
        let topic = item["topic"].as_str().expect("a topic");
        let branch = match item["branch"] == true {
            true => format!("*{}", item["topics"]),
            false => String::new(),
        };
        format!("{topic}{branch} {} {}", item["messages"], item["bytes"])
    });
    shown.collect()
}

#[test]
fn topics_are_shown_one_by_one_and_level_by_level_with_what_came_there() {
    let (broker, http) = start("");
    site(&broker);
    for (query, expected) in [
        (
            "",
            &[
                "/odd 1 1",
                "site/1 1 5",
                "site/1/state 1 2",
                "site/1/temp 2 9",
                "site/10/temp 1 1",
                "site/2/temp 1 0",
                "site-2/temp 1 1",
            ][..],
        ),
        ("?depth=1", &["*1 1 1", "site*5 6 17", "site-2*1 1 1"]),
        ("?prefix=site&depth=1", &["site/1*3 4 16", "site/10*1 1 1", "site/2*1 1 0"]),
        ("?prefix=site/1/&depth=1", &["site/1 1 5", "site/1/state 1 2", "site/1/temp 2 9"]),
        ("?prefix=/&depth=1", &["/odd 1 1"]),
        ("?prefix=nowhere", &[]),
        ("?filter=site/%2B/temp&depth=2", &["site/1*1 2 9", "site/10*1 1 1", "site/2*1 1 0"]),
    ] {
        assert_eq!(shown(&counted(&http, &format!("/api/v1/topics{query}"))), expected, "{query}");
    }
    let state = &counted(&http, "/api/v1/topics?prefix=site/1/state")["items"][0];
    assert!(state["retained"] == true && state["last"].is_string(), "{state}");
    let page = counted(&http, "/api/v1/topics?filter=site/1/temp");
    assert_eq!(page["items"][0]["retained"], false);
    assert_eq!((&page["counted"]["topics"], &page["counted"]["skipped"]), (&json!(7), &json!(0)));
    for query in ["depth=0", "depth=x", "filter=a%23", "filter=$share/g/a", "limit=0", "sort=x"] {
        let answer = http.get(&format!("/api/v1/topics?{query}"));
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid")), "{query}");
    }
}

#[test]
fn pages_of_a_list_are_the_whole_list() {
    let (broker, http) = start("");
    site(&broker);
    for query in ["?", "?depth=1&", "?prefix=site&depth=1&"] {
        let whole = shown(&counted(&http, &format!("/api/v1/topics{query}")));
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = format!("/api/v1/topics{query}limit=1{cursor}");
            let page = http.granted("GET", &page, None);
            found.extend(shown(&page));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, whole, "{query}");
    }
}

#[test]
fn what_came_before_a_restart_and_what_is_retained_is_found_again() {
    let (mut broker, _) = start("");
    site(&broker);
    broker.kill9();
    broker.restart();
    let http = Http::new(broker.http_address());
    assert_eq!(counted(&http, "/api/v1/topics")["counted"]["topics"], 7);
    tell(&broker, &[("site/1/state", "", true), ("new", "1", false)]);
    let page = counted(&http, "/api/v1/topics?prefix=site/1/state");
    assert_eq!(
        (&page["counted"]["topics"], shown(&page)),
        (&json!(8), vec!["site/1/state 2 2".to_owned()])
    );
    assert_eq!(page["items"][0]["retained"], false);
}

#[test]
fn topics_are_for_viewers_and_may_be_off() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("tokens");
    let path = file.display().to_string();
    let token = typed(&["token", "create", "--role", "viewer", "--name", "v", "--file", &path]);
    let token = token.well();
    let (broker, http) = start(&format!("token_file = {file:?}\n[topics]\ncount_max = 0\n"));
    site(&broker);
    assert_eq!(http.get("/api/v1/topics").status, 401);
    let answer = http.with(&token).get("/api/v1/topics");
    assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_counted")));
    let (broker, http) = start(&format!("token_file = {file:?}\n"));
    site(&broker);
    assert_eq!(http.get("/api/v1/topics").status, 401);
    assert_eq!(counted(&http.with(&token), "/api/v1/topics")["counted"]["topics"], 7);
}

#[test]
fn the_command_shows_a_table_or_a_tree_and_the_busiest_first() {
    let (broker, http) = start("");
    site(&broker);
    let _ = counted(&http, "/api/v1/topics");
    let url = format!("http://{}", broker.http_address());
    let typed = |words: &[&str]| typed(&[&["topics"], words, &["--url", &url]].concat());
    let firsts = |words: &[&str]| -> Vec<String> {
        let said = typed(words).well();
        let width = said.find(" TOPICS").expect("the second column");
        let name = |row: &str| row.chars().take(width).collect::<String>().trim_end().to_owned();
        said.lines().skip(1).map(name).collect()
    };
    assert_eq!(firsts(&["site/1/+"]), ["site/1/state", "site/1/temp"]);
    assert_eq!(firsts(&["--depth", "1"]), ["/#", "site/#", "site-2/#"]);
    assert_eq!(firsts(&["--sort", "messages", "--limit", "1"]), ["site/1/temp"]);
    assert_eq!(firsts(&["--sort", "bytes", "--limit", "1", "--depth", "1"]), ["site/#"]);
    let tree = ["site/", "├─ 1/", "│  ├─ state", "│  └─ temp", "├─ 10/", "│  └─ temp"];
    assert_eq!(firsts(&["--tree", "--prefix", "site"])[..6], tree);
    assert_eq!(firsts(&["--tree", "--depth", "1"]), ["\"\"/", "site/", "site-2/"]);
    let said = typed(&["--tree"]);
    assert!(said.err.starts_with("7 topics, counted since 2"), "{said:?}");
    let document: Value = serde_json::from_str(&typed(&["--json"]).well()).expect("JSON");
    assert_eq!(document["items"].as_array().map(Vec::len), Some(7));
    assert_eq!(document["counted"]["topics"], 7);
    let refused = typed(&["--depth", "0"]).fails(1);
    assert!(refused.contains("depth is from 1"), "{refused}");
}

/// Publishes to as many made-up topics, `long` bytes each, at QoS 0, and one that is acknowledged.
fn make_up(broker: &Broker, topics: usize, long: usize) {
    let mut wire = Wire::clean(broker.address(), Version::V5, "liar");
    let filler = "x".repeat(long);
    for first in (0..topics).step_by(100) {
        let mut packets = Vec::new();
        for number in first..topics.min(first + 100) {
            let topic = format!("made/{filler}/{number}");
            packets.extend_from_slice(&publish(Version::V5, &Publish::new(&topic, "x", 0, 0)));
        }
        packets.extend_from_slice(&publish(Version::V5, &Publish::new("end", "x", 1, 7)));
        wire.send(&packets);
        let _ = wire.packet_of(kind::PUBACK);
    }
    wire.disconnect();
}

#[test]
fn made_up_topics_take_no_more_than_they_may_and_drive_out_none_that_live() {
    const TOPICS: usize = 20_000;
    let (broker, http) = start("[topics]\ncount_max = 100\n");
    tell(&broker, &[("alive", "1", false), ("alive", "2", false), ("kept", "1", true)]);
    make_up(&broker, TOPICS, 4);
    let mut other = Wire::clean(broker.address(), Version::V5, "other");
    other.publish_acknowledged(&Publish::new("alive", "3", 1, 7));
    let page = counted(&http, "/api/v1/topics");
    let known = page["counted"]["topics"].as_u64().expect("a number");
    assert!((1..=100).contains(&known), "{page}");
    let all = shown(&page);
    for living in ["alive 3 3", "end 200 200"] {
        assert!(all.iter().any(|one| one == living), "{living}: {all:?}");
    }
    let messages = page["items"].as_array().expect("a list").iter();
    let messages: u64 = messages.filter_map(|item| item["messages"].as_u64()).sum();
    let others = page["counted"]["others"]["messages"].as_u64().expect("a number");
    assert_eq!(messages + others, TOPICS as u64 + 204, "none is lost to the count");
}

#[test]
fn long_made_up_topics_take_no_more_memory_than_the_limit_says_and_others_publish_meanwhile() {
    const MIB: u64 = 1 << 20;
    let (broker, http) =
        start("[store]\nrecent_bytes_max = 1048576\n[topics]\ncount_max = 10000\n");
    let mut other = Wire::clean(broker.address(), Version::V5, "other");
    // 60 MB of names, where 10,000 topics may have 1.28.
    make_up(&broker, 2_000, 30_000);
    broker.forget_memory_peak();
    let before = broker.memory_bytes();
    let asked = http.get("/api/v1/topics?limit=1");
    other.publish_acknowledged(&Publish::new("alive", "1", 1, 7));
    assert_eq!(asked.status, 200);
    let page = counted(&http, "/api/v1/topics?limit=1");
    let grown = broker.memory_peak_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB, "{} MiB more: {}", grown / MIB, page["counted"]);
    assert!(page["counted"]["others"]["topics"].as_u64() > Some(1_900), "{}", page["counted"]);
    let alive = counted(&http, "/api/v1/topics?filter=alive");
    assert_eq!(shown(&alive), ["alive 1 1"]);
}
