//! Does the API do what its document says, on a broker that has something to show?

use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidewire_tests::broker::Broker;
use tidewire_tests::http::{Answer, Http, faults};
use tidewire_tests::program::{PATIENCE, Program};
use tidewire_tests::wire::{Hello, Publish, Version, Wire};

fn start() -> (Broker, Http) {
    let broker = Broker::start_with(&["--http", "127.0.0.1:0"]);
    let http = Http::new(broker.http_address());
    (broker, http)
}

/// A session that outlives its connection for an hour.
const LASTING: &[u8] = &[17, 0, 0, 14, 16];

fn lasting(broker: &Broker, client_id: &str) -> Wire {
    let hello = Hello { clean: false, properties: LASTING, ..Hello::new(client_id) };
    Wire::greet(broker.address(), &hello).0
}

fn publish(http: &Http, body: &Value) {
    let published = http.granted("POST", "/api/v1/publish", Some(body));
    assert_eq!(published["durable"], true);
}

/// All items of a list, by pages of this size.
fn pages(http: &Http, path: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    let sign = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = http.granted("GET", &format!("{path}{sign}limit={limit}{cursor}"), None);
        let found = page["items"].as_array().expect("a list");
        assert!(found.len() <= limit, "{path}: {found:?}");
        items.extend_from_slice(found);
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

fn names<'v>(items: &'v [Value], field: &str) -> Vec<&'v str> {
    let mut names: Vec<_> = items.iter().filter_map(|item| item[field].as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_route_of_the_document_answers_as_the_document_says() {
    let broker = Broker::start_configured(
        "[listener.http]\nbind = \"127.0.0.1:0\"\n\
         [[bridge.push]]\nname = \"edge\"\nurl = \"http://127.0.0.1:1/secret\"\n\
         filters = [\"nothing/#\"]\n",
    );
    let http = Http::new(broker.http_address());
    // Orders are taken once it has begun.
    let (deadline, latest) = (Instant::now() + PATIENCE, json!({ "to": "latest" }));
    while http.ask("POST", "/api/v1/bridges/edge/rewind", Some(&latest)).status != 200 {
        assert!(Instant::now() < deadline, "{}", http.get("/api/v1/bridges/edge").body);
    }
    let mut client = lasting(&broker, "walker");
    client.subscribe(1, &[("a/#", 1), ("$share/g/b", 1)]);
    lasting(&broker, "away").disconnect();
    publish(&http, &json!({ "topic": "kept", "payload": "x", "retain": true }));
    let ban = json!({ "kind": "client", "target": "banned", "reason": "a test" });
    let _ = http.granted("POST", "/api/v1/bans", Some(&ban));
    let document = http.granted("GET", "/api/v1/openapi.json", None);
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let operations = operations.as_object().expect("operations");
        all.extend(operations.iter().map(|(verb, operation)| (verb, path, operation)));
    }
    // What there is goes last.
    all.sort_by_key(|(verb, ..)| *verb == "delete");
    assert!(all.len() > 25, "{}", all.len());
    for (verb, path, operation) in all {
        let answer = walk(&http, verb, path, operation);
        let status = answer.status.to_string();
        let response = match &operation["responses"][&status] {
            Value::Null => &document["components"]["responses"]["Problem"],
            known => known,
        };
        let is_told = path.contains("/bridges") && answer.body.contains("secret");
        assert!(!is_told, "{verb} {path}: {}", answer.body);
        if path.ends_with("/bridges/{bridge}") {
            let about = &document["components"]["schemas"]["BridgeInfo"]["properties"]["kind"];
            let kind = format!("`{}`", answer.json()["kind"].as_str().expect("a word"));
            assert!(about["description"].as_str().is_some_and(|it| it.contains(&kind)), "{about}");
        }
        let content = response["content"].as_object().expect("content");
        let (kind, content) = content.iter().next().expect("one");
        assert!(answer.head.contains(kind.as_str()), "{verb} {path}: {}", answer.head);
        if kind.ends_with("json") && content["schema"]["type"] != "string" {
            let found = faults(&document, &content["schema"], &answer.json(), path);
            assert!(found.is_empty(), "{verb} {path}: {found:#?}");
        }
    }
}

/// Asks for something that is there, where anything may be.
fn walk(http: &Http, verb: &str, path: &str, operation: &Value) -> Answer {
    let path = path
        .replace("{client}", "walker")
        .replace("{stream}", "mqtt")
        .replace("{topic}", "kept")
        .replace("{kind}/{target}", "client/banned")
        .replace("{bridge}", "edge")
        .replace("{group}", "none");
    let body = match operation["operationId"].as_str().expect("a name") {
        "publish" => Some(json!({ "topic": "a/b", "payload": "x" })),
        "createBan" => Some(json!({ "kind": "address", "target": "192.0.2.7", "seconds": 60 })),
        "rewindBridge" => Some(json!({ "to": "latest" })),
        "skipBridge" => Some(json!({ "stream": "mqtt", "partition": 0 })),
        _ => operation.get("requestBody").map(|_| json!({})),
    };
    let answer = http.ask(&verb.to_uppercase(), &path, body.as_ref());
    if path.ends_with("/edge/test") {
        // Nobody is there.
        assert_eq!(answer.status, 502, "{}", answer.body);
        return answer;
    }
    let may_fail = path.contains("/none") || body == Some(json!({}));
    assert!(answer.status == 200 || may_fail, "{verb} {path}: {}", answer.body);
    assert!(answer.status < 500, "{verb} {path}: {}", answer.body);
    answer
}

#[test]
fn clients_are_listed_by_pages_and_can_be_sent_away() {
    let (broker, http) = start();
    let ids: Vec<String> = (0..7).map(|number| format!("dev/{number}")).collect();
    let mut clients: Vec<_> =
        ids.iter().map(|id| Wire::clean(broker.address(), Version::V5, id)).collect();
    let listed = pages(&http, "/api/v1/clients?contains=dev", 2);
    assert_eq!(names(&listed, "client_id"), ids);
    clients[3].subscribe(1, &[("a/#", 1)]);
    let one = http.granted("GET", "/api/v1/clients/dev%2F3", None);
    assert_eq!((&one["subscriptions"], &one["protocol"]), (&json!(1), &json!("5")));
    assert!(one["live"] == true && one["listener"] == "mqtt", "{one}");
    let ended = http.granted("DELETE", "/api/v1/clients/dev%2F3", None);
    assert_eq!(ended["connections"], 1);
    clients[3].ended_for(0x98);
    let deadline = Instant::now() + PATIENCE;
    while http.get("/api/v1/clients/dev%2F3").status != 404 {
        assert!(Instant::now() < deadline, "it is still there");
    }
    assert_eq!(http.granted("DELETE", "/api/v1/clients/dev%2F3", None)["connections"], 0);
}

#[test]
fn a_session_tells_how_far_it_is_behind_and_ends_when_it_is_deleted() {
    let (broker, http) = start();
    let mut client = lasting(&broker, "reader");
    client.subscribe(1, &[("a/#", 1)]);
    client.disconnect();
    for number in 0..5 {
        publish(&http, &json!({ "topic": "a/b", "payload": number.to_string() }));
    }
    let _here = lasting(&broker, "here");
    let listed = pages(&http, "/api/v1/sessions", 1);
    assert_eq!(names(&listed, "client_id"), ["here", "reader"]);
    assert_eq!(pages(&http, "/api/v1/sessions?connected=true", 9).len(), 1);
    let session = http.granted("GET", "/api/v1/sessions/reader", None);
    assert_eq!(session["lag"]["records"], 5, "{session}");
    assert!(session["connected"] == false && session["expires"].is_string(), "{session}");
    // One that ends with its connection is ended too.
    let mut passing = Wire::clean(broker.address(), Version::V5, "passing");
    for id in ["reader", "passing"] {
        let path = format!("/api/v1/sessions/{id}?dry_run=true");
        assert_eq!(http.granted("DELETE", &path, None)["removed"], true, "{id}");
    }
    assert_eq!(http.granted("DELETE", "/api/v1/sessions/passing", None)["removed"], true);
    passing.ended_for(0x98);
    for id in ["reader", "here"] {
        let path = format!("/api/v1/sessions/{id}");
        assert_eq!(http.granted("DELETE", &path, None)["removed"], true, "{id}");
        assert_eq!(http.get(&path).status, 404, "{id}");
        assert_eq!(http.granted("DELETE", &path, None)["removed"], false, "{id}");
    }
    assert!(pages(&http, "/api/v1/subscriptions", 9).is_empty());
    let hello = Hello { clean: false, properties: LASTING, ..Hello::new("reader") };
    assert!(!Wire::greet(broker.address(), &hello).1, "it has no session any more");
}

#[test]
fn a_session_whose_client_came_back_meanwhile_is_spared() {
    let (broker, http) = start();
    let now_ms = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let before = now_ms() - 60_000;
    let mut here = lasting(&broker, "here");
    let was_here = lasting(&broker, "was here");
    was_here.disconnect();
    let deadline = Instant::now() + PATIENCE;
    while http.granted("GET", "/api/v1/sessions/was%20here", None)["connected"] != false {
        assert!(Instant::now() < deadline, "it is still there");
    }
    let delete = |id: &str, since: u128, more: &str| {
        let path = format!("/api/v1/sessions/{id}?away_since_before={since}{more}");
        http.granted("DELETE", &path, None)
    };
    let (removed, spared) =
        (json!({ "removed": true, "spared": false }), json!({ "removed": false, "spared": true }));
    for more in ["&dry_run=true", ""] {
        assert_eq!(delete("here", now_ms(), more), spared, "its client is there");
        assert_eq!(delete("was%20here", before, more), spared, "it was there since");
    }
    here.publish_acknowledged(&Publish::new("a", "still here", 1, 1));
    assert_eq!(delete("was%20here", now_ms(), "&dry_run=true"), removed);
    assert_eq!(delete("was%20here", now_ms(), ""), removed);
    let nothing = json!({ "removed": false, "spared": false });
    assert_eq!(delete("was%20here", now_ms(), ""), nothing);
    let answer = http.ask("DELETE", "/api/v1/sessions/here?away_since_before=soon", None);
    assert_eq!(answer.status, 400, "{}", answer.body);
}

#[test]
fn subscriptions_of_who_is_there_and_who_is_away_are_found_by_topic() {
    let (broker, http) = start();
    let mut here = Wire::clean(broker.address(), Version::V5, "here");
    here.subscribe(1, &[("a/+", 1), ("a/b", 2), ("other", 0), ("$share/g/a/#", 1)]);
    let mut away = lasting(&broker, "away");
    away.subscribe(1, &[("a/#", 1), ("b", 0)]);
    away.disconnect();
    let deadline = Instant::now() + PATIENCE;
    // Not as soon as it is no client any more: its rows are its own until its end is on disk.
    while http.granted("GET", "/api/v1/sessions/away", None)["connected"] != false {
        assert!(Instant::now() < deadline, "it is still there");
    }
    for limit in [1, 2, 100] {
        let all = pages(&http, "/api/v1/subscriptions", limit);
        let expected = ["$share/g/a/#", "a/#", "a/+", "a/b", "b", "other"];
        assert_eq!(names(&all, "filter"), expected, "{limit}");
        let found = pages(&http, "/api/v1/subscriptions?topic=a/b", limit);
        assert_eq!(names(&found, "filter"), ["$share/g/a/#", "a/#", "a/+", "a/b"], "{limit}");
        let of_away = pages(&http, "/api/v1/clients/away/subscriptions", limit);
        assert_eq!(names(&of_away, "filter"), ["a/#", "b"], "{limit}");
        let of_here = pages(&http, "/api/v1/clients/here/subscriptions", limit);
        assert_eq!(of_here.len(), 4, "{limit}");
    }
}

#[test]
fn what_is_published_reaches_subscribers_and_what_is_retained_is_found_and_cleared() {
    let (broker, http) = start();
    let mut client = Wire::clean(broker.address(), Version::V5, "reader");
    client.subscribe(1, &[("a/#", 1)]);
    publish(&http, &json!({ "topic": "a/live", "payload": "21.5" }));
    let _ = client.receive("21.5");
    for topic in ["a", "a/b", "a/c", "b/c"] {
        publish(&http, &json!({ "topic": topic, "payload": topic, "retain": true }));
    }
    let bytes = json!({ "topic": "bytes", "payload_base64": "/wA=", "retain": true });
    publish(&http, &bytes);
    let found = |filter: &str| {
        let path = format!("/api/v1/retained?filter={}", filter.replace('#', "%23"));
        let items = pages(&http, &path, 1);
        names(&items, "topic").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found("a/%2B"), ["a/b", "a/c"]);
    assert_eq!(found("a/#"), ["a", "a/b", "a/c"]);
    assert_eq!(found("#").len(), 5);
    let one = http.granted("GET", "/api/v1/retained/a%2Fb", None);
    assert!(one["payload"] == "a/b" && one["stream"] == "mqtt", "{one}");
    let bytes = http.granted("GET", "/api/v1/retained/bytes", None);
    assert!(bytes["payload"].is_null() && bytes["payload_base64"] == "/wA=", "{bytes}");
    assert_eq!(http.granted("DELETE", "/api/v1/retained/a%2Fb", None)["removed"], true);
    assert_eq!(http.get("/api/v1/retained/a%2Fb").status, 404);
    for (body, status) in [
        (json!({ "topic": "a/#", "payload": "" }), 400),
        (json!({ "topic": "a", "payload": "", "payload_base64": "" }), 400),
        (json!({ "topic": "a", "qos": 3 }), 400),
        (json!({ "topic": "a", "paylaod": "x" }), 400),
    ] {
        let answer = http.ask("POST", "/api/v1/publish", Some(&body));
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
    let shared = http.get("/api/v1/retained?filter=$share/g/a/%23");
    assert_eq!(shared.status, 400, "{}", shared.body);
    let clients = pages(&http, "/api/v1/clients", 9);
    assert_eq!(names(&clients, "client_id"), ["reader"], "and not who publishes for the port");
}

#[test]
fn a_retained_message_whose_topic_a_rule_rewrites_is_cleared_and_no_other() {
    let broker = Broker::start_configured(
        "[listener.http]\nbind = \"127.0.0.1:0\"\n\
         [[topics.rewrite]]\non = \"publish\"\nfrom = \"#\"\nto = \"all/$1\"\n",
    );
    let http = Http::new(broker.http_address());
    for topic in ["q", "all/q"] {
        publish(&http, &json!({ "topic": topic, "payload": topic, "retain": true }));
    }
    let there = || {
        let items = pages(&http, "/api/v1/retained", 9);
        names(&items, "topic").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(there(), ["all/all/q", "all/q"]);
    assert_eq!(http.granted("DELETE", "/api/v1/retained/all%2Fq", None)["removed"], true);
    assert_eq!(there(), ["all/all/q"]);
    assert_eq!(http.granted("DELETE", "/api/v1/retained/all%2Fq", None)["removed"], false);
}

#[test]
fn a_banned_client_stays_out_until_the_ban_is_lifted() {
    let (broker, http) = start();
    let mut client = Wire::clean(broker.address(), Version::V5, "loud");
    let ban = json!({ "kind": "client", "target": "loud", "reason": "too loud" });
    let ended = http.granted("POST", "/api/v1/bans", Some(&ban));
    assert_eq!(ended["connections"], 1);
    client.ended_for(0x98);
    let bans = http.granted("GET", "/api/v1/bans", None);
    assert!(bans["items"][0]["reason"] == "too loud" && bans["items"][0]["until"].is_null());
    let enters = || {
        let mut wire = Wire::open(broker.address(), Version::V5);
        wire.send(&Hello::new("loud").bytes());
        wire.packet().body().get(1) == Some(&0)
    };
    assert!(!enters());
    let lifted = http.granted("DELETE", "/api/v1/bans/client/loud", None);
    assert_eq!(lifted["removed"], true);
    assert!(enters());
    for wrong in [
        json!({ "kind": "address", "target": "here" }),
        json!({ "kind": "client", "target": "loud", "seconds": u64::MAX }),
        json!({ "kind": "client", "target": "loud", "seconds": 1_u64 << 62 }),
    ] {
        let answer = http.ask("POST", "/api/v1/bans", Some(&wrong));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
}

#[test]
fn streams_tell_what_they_hold() {
    let (broker, http) = start();
    let mut client = Wire::clean(broker.address(), Version::V5, "writer");
    for number in 0..10 {
        let topic = format!("t/{number}");
        client.publish_acknowledged(&Publish::new(&topic, "x", 1, 1));
    }
    let stream = http.granted("GET", "/api/v1/streams/mqtt", None);
    assert_eq!(stream["records"], 10, "{stream}");
    let partitions = stream["partitions"].as_array().expect("partitions");
    let ends = partitions.iter().filter_map(|one| one["end_offset"].as_u64());
    assert_eq!(ends.sum::<u64>(), 10);
}

#[test]
fn a_consumer_group_tells_how_far_it_is_behind_and_is_put_elsewhere() {
    let (_broker, http) = start();
    for number in 0..8 {
        publish(&http, &json!({ "topic": format!("t/{number}"), "payload": "x" }));
    }
    let path = "/api/v1/groups/readers";
    let reset = |order: Value| http.granted("POST", &format!("{path}/offsets"), Some(&order));
    assert_eq!(http.get(path).status, 404);
    let dry = reset(json!({ "to": "earliest", "stream": "mqtt", "dry_run": true }));
    assert!(dry["done"] == false && dry["moved"].as_array().is_some_and(|it| it.len() == 4));
    assert_eq!(http.get(path).status, 404, "it was asked only");
    let _ = reset(json!({ "to": "earliest", "stream": "mqtt" }));
    let group = http.granted("GET", path, None);
    assert!(group["lag"]["records"] == 8 && group["state"] == "Empty", "{group}");
    let listed = pages(&http, "/api/v1/groups", 1);
    assert_eq!(names(&listed, "name"), ["readers"]);
    let _ = reset(json!({ "to": "latest" }));
    assert_eq!(http.granted("GET", path, None)["lag"]["records"], 0);
    let _ = reset(json!({ "shift": -1 }));
    let behind = http.granted("GET", path, None);
    let partitions = behind["offsets"].as_array().expect("offsets");
    let with_records = partitions.iter().filter(|one| one["end_offset"] != 0);
    assert_eq!(behind["lag"]["records"], with_records.count(), "{behind}");
    for wrong in [json!({}), json!({ "to": "latest", "shift": 1 }), json!({ "to": "there" })] {
        let answer = http.ask("POST", &format!("{path}/offsets"), Some(&wrong));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    assert_eq!(http.granted("DELETE", path, None)["removed"], true);
    assert_eq!(http.get(path).status, 404);
}

/// A member that commits nothing, and is missed after minutes alone.
fn reader_that_does_not_commit(broker: &Broker) -> Program {
    let mut command = Command::new("kcat");
    command.args(["-b", &broker.kafka_address().to_string(), "-u", "-f", "%p %o\\n"]);
    // Told not to commit, kcat does so by the second; what is not stored it cannot commit.
    command.args(["-X", "client.id=laptop", "-X", "enable.auto.offset.store=false"]);
    command.args(["-X", "session.timeout.ms=300000"]);
    Program::start(command.args(["-G", "readers", "mqtt"]))
}

#[test]
fn a_member_of_a_consumer_group_tells_how_far_it_is_behind_and_is_not_moved_under_its_feet() {
    let (broker, http) = start();
    for number in 0..8 {
        publish(&http, &json!({ "topic": format!("t/{number}"), "payload": "x" }));
    }
    let path = "/api/v1/groups/readers";
    let offsets = format!("{path}/offsets");
    let earliest = json!({ "to": "earliest", "stream": "mqtt" });
    let _ = http.granted("POST", &offsets, Some(&earliest));
    let mut member = reader_that_does_not_commit(&broker);
    for _ in 0..8 {
        let _ = member.line();
    }
    let group = http.granted("GET", path, None);
    assert!(group["state"] == "Stable" && group["kind"] == "classic", "{group}");
    let one = &group["members"][0];
    assert!(one["client_id"] == "laptop" && one["partitions"] == 4, "{group}");
    assert!(one["lag"]["records"] == 8 && group["lag"]["records"] == 8, "{group}");
    let parts = group["offsets"].as_array().expect("offsets");
    assert!(parts.len() == 4 && parts.iter().all(|part| part["member"] == one["id"]), "{group}");
    let behind = parts.iter().map(|part| {
        assert_eq!(part["lag"]["records"], part["end_offset"], "{part}");
        part["lag"]["records"].as_u64().expect("a number")
    });
    assert_eq!(behind.sum::<u64>(), 8);
    let trial = json!({ "to": "latest", "dry_run": true });
    let orders = [
        ("POST", offsets.clone(), Some(json!({ "to": "latest" }))),
        ("POST", offsets.clone(), Some(trial)),
        ("DELETE", path.to_owned(), None),
        ("DELETE", format!("{path}?dry_run=true"), None),
    ];
    for (method, path, order) in orders {
        let answer = http.ask(method, &path, order.as_ref());
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("has_members")));
    }
    assert_eq!(http.granted("GET", path, None)["lag"]["records"], 8, "nothing was moved");
    assert!(member.terminate().success());
    let deadline = std::time::Instant::now() + PATIENCE;
    while http.granted("GET", path, None)["members"] != json!([]) {
        assert!(std::time::Instant::now() < deadline, "it is still a member");
    }
    let _ = http.granted("POST", &offsets, Some(&json!({ "to": "earliest" })));
    let done = http.granted("POST", &offsets, Some(&json!({ "shift": 1 })));
    let moved = done["moved"].as_array().expect("moves");
    assert!(moved.iter().any(|one| one["from"] == 0 && one["to"] == 1), "{done}");
    let left = http.granted("GET", path, None)["lag"]["records"].as_u64().expect("a number");
    // A real client goes on where the group was put.
    let mut member = reader_that_does_not_commit(&broker);
    for _ in 0..left {
        let line = member.line();
        assert!(!line.ends_with(" 0"), "{line}: it was passed over");
    }
    assert!(left < 8 && member.terminate().success());
}

/// All series of this name that the group `readers` has: their labels and values.
fn series_of_readers(http: &Http, name: &str) -> Vec<(String, f64)> {
    let text = http.get("/metrics").body;
    let series = |line: &str| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        let is_theirs = labels.contains("group=\"readers\"");
        is_theirs.then(|| (labels.to_owned(), value.parse().expect("a number")))
    };
    text.lines().filter_map(series).collect()
}

#[test]
fn metrics_and_the_api_say_by_how_many_records_and_seconds_a_real_group_is_behind() {
    let (broker, http) = start();
    for number in 0..8 {
        publish(&http, &json!({ "topic": format!("t/{number}"), "payload": "x" }));
    }
    let path = "/api/v1/groups/readers";
    let earliest = json!({ "to": "earliest", "stream": "mqtt" });
    let _ = http.granted("POST", &format!("{path}/offsets"), Some(&earliest));
    let mut member = reader_that_does_not_commit(&broker);
    for _ in 0..8 {
        let _ = member.line();
    }
    // By which label they are told apart, how many there are, and how much they are in all.
    let deadline = Instant::now() + PATIENCE;
    for (name, label, count, least, most) in [
        ("tidewire_consumer_group_lag", "partition=\"3\"", 4, 8.0, 8.0),
        ("tidewire_consumer_group_lag_seconds", "partition=\"3\"", 4, 1.0, f64::MAX),
        ("tidewire_consumer_group_member_lag", "client_id=\"laptop\"", 1, 8.0, 8.0),
        ("tidewire_consumer_group_member_lag_seconds", "client_id=\"laptop\"", 1, 1.0, f64::MAX),
        ("tidewire_group_lag_messages", "stream=\"mqtt\"", 1, 8.0, 8.0),
        ("tidewire_group_lag_seconds", "stream=\"mqtt\"", 1, 1.0, f64::MAX),
    ] {
        loop {
            let found = series_of_readers(&http, name);
            let sum: f64 = found.iter().map(|(_, value)| value).sum();
            let is_there = found.iter().any(|(labels, _)| labels.contains(label));
            if is_there && found.len() == count && (least..=most).contains(&sum) {
                break;
            }
            assert!(Instant::now() < deadline, "{name}: {found:?}");
        }
    }
    let group = http.granted("GET", path, None);
    let is_late = |lag: &Value| lag["seconds"].as_u64().is_some_and(|seconds| seconds >= 1);
    assert!(is_late(&group["lag"]) && is_late(&group["members"][0]["lag"]), "{group}");
    assert_eq!(group["lag"]["records"], 8, "{group}");
    assert!(member.terminate().success());
}

#[test]
fn a_share_group_tells_how_far_it_is_behind() {
    let (broker, http) = start();
    let mut worker = lasting(&broker, "worker");
    worker.subscribe(1, &[("$share/crew/jobs/#", 1)]);
    worker.disconnect();
    publish(&http, &json!({ "topic": "jobs/1", "payload": "x" }));
    let listed = pages(&http, "/api/v1/share-groups", 1);
    assert_eq!(names(&listed, "filter"), ["$share/crew/jobs/#"]);
    assert_eq!(listed[0]["members"], 1, "{listed:?}");
}
