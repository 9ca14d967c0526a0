//! Does the HTTP port say how the broker is, to whom it should, within its bounds?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::http::{Http, hear};
use tidewire_tests::places::built_program;
use tidewire_tests::program::{PATIENCE, Program};

/// A broker whose port holds what is said here.
fn start(settings: &str) -> (Broker, Http) {
    let section = format!("[listener.http]\nbind = \"127.0.0.1:0\"\n{settings}");
    let broker = Broker::start_configured(&section);
    let http = Http::new(broker.http_address());
    (broker, http)
}

#[test]
fn probes_say_how_the_broker_is_to_curl() {
    let broker = Broker::start_with(&["--http", "127.0.0.1:0"]);
    for (path, expected) in
        [("healthz", "{\"status\":\"alive\"}"), ("readyz", "{\"status\":\"ready\",\"reasons\":[]}")]
    {
        let address = format!("http://{}/{path}", broker.http_address());
        let output = Command::new("curl").args(["-sS", "--fail", &address]).output();
        let output = output.expect("curl is installed");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    }
    let http = Http::new(broker.http_address());
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "no_route"),
        ("POST", "/healthz", 405, "method"),
        ("GET", "/healthz?verbose=1", 400, "invalid"),
        ("GET", "/api/v1/streams/nowhere", 404, "not_found"),
    ] {
        let answer = http.ask(method, path, None);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
        assert_eq!(answer.json()["code"], code, "{method} {path}");
    }
}

#[test]
fn what_a_client_may_make_the_port_hold_is_bounded() {
    let (_broker, http) = start(
        "connections_max = 2\nheader_bytes_max = 8192\nbody_bytes_max = 1024\n\
         header_timeout_ms = 500\n",
    );
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n", "x".repeat(9000));
    let answer = http.say(long.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 431, "{}", answer.head);
    let large = "POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1025\r\n\r\n";
    assert_eq!(http.say(large.as_bytes()).expect("an answer").status, 413);
    let chunks = "POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\n\
                  Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n800\r\n";
    let chunks = format!("{chunks}{}\r\n0\r\n\r\n", "x".repeat(0x800));
    assert_eq!(http.say(chunks.as_bytes()).expect("an answer").status, 413);

    // Two that never end their heads, and nobody more; their time is over soon.
    let deadline = Instant::now() + PATIENCE;
    let mut slow = [(); 2].map(|()| half_a_request(&http));
    let refused = loop {
        assert!(Instant::now() < deadline, "nobody is told to come later");
        // The places of those before are free a little later than they hear of it.
        match http.say(HEALTH) {
            Some(answer) if answer.status == 503 => break answer,
            Some(_) => slow = [(); 2].map(|()| half_a_request(&http)),
            None => (),
        }
    };
    assert!(refused.head.contains("Retry-After"), "{}", refused.head);
    for stream in &mut slow {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut rest);
    }
    // Whoever is told to come later may hear a reset instead.
    while http.say(HEALTH).is_none_or(|answer| answer.status != 200) {
        assert!(Instant::now() < deadline, "their places are not free again");
    }
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn half_a_request(http: &Http) -> TcpStream {
    let mut stream = http.open();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").expect("it is open");
    stream
}

#[test]
fn who_sends_a_body_that_nobody_wants_is_answered_before_it_comes() {
    let (_broker, http) = start("request_timeout_ms = 600000\n");
    for framing in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        for (verb, path) in [("GET", "/healthz"), ("POST", "/api/v1/bridges/none/pause")] {
            // Of the body nothing comes.
            let asked = format!("{verb} {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
            let answer = http.say(asked.as_bytes()).expect("an answer");
            assert_eq!(answer.status, 413, "{verb} {path} {framing}: {}", answer.body);
        }
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let (_broker, http) = start("");
    let mut stream = http.open();
    for path in ["/healthz", "/readyz", "/api/v1/status", "/healthz"] {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is open");
        assert_eq!(hear(&mut stream).expect("an answer").status, 200, "{path}");
    }
}

#[test]
fn pages_from_elsewhere_do_not_come_in_by_the_browser_of_this_machine() {
    let (_broker, http) = start("");
    for (headers, status) in [
        ("Host: localhost", 200),
        ("Host: rebound.example", 403),
        ("Host: localhost\r\nOrigin: https://example.org", 403),
        ("Host: localhost\r\nOrigin: http://localhost:18080", 200),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site", 403),
    ] {
        let asked = format!("GET /api/v1/status HTTP/1.1\r\n{headers}\r\n\r\n");
        let answer = http.say(asked.as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{headers}: {}", answer.body);
    }
}

/// A token that the command makes.
fn token(folder: &TempDir, role: &str) -> String {
    let mut command = Command::new(built_program("tidewire"));
    command.args(["token", "create", "--role", role, "--name", role, "--file"]);
    let output = command.arg(folder.path().join("tokens")).output().expect("it was built");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn a_token_opens_what_its_role_may_and_stops_to_when_it_is_removed() {
    let folder = TempDir::new().expect("a folder");
    let tokens = ["viewer", "operator", "admin"].map(|role| token(&folder, role));
    let file = folder.path().join("tokens");
    let text = std::fs::read_to_string(&file).expect("made");
    assert!(tokens.iter().all(|token| !text.contains(token)), "a file of hashes: {text}");
    let (_broker, http) = start(&format!("token_file = {file:?}\n"));
    let [viewer, operator, admin] = tokens.map(|token| http.with(&token));
    let message = serde_json::json!({ "topic": "a", "payload": "x" });
    for (who, name, expected) in [
        (&http, "nobody", [200, 401, 401, 401]),
        (&http.with("tw_wrong"), "a stranger", [200, 401, 401, 401]),
        (&viewer, "viewer", [200, 200, 403, 403]),
        (&operator, "operator", [200, 200, 200, 403]),
        (&admin, "admin", [200, 200, 200, 200]),
    ] {
        let found = [
            who.get("/readyz").status,
            who.get("/api/v1/clients").status,
            who.ask("POST", "/api/v1/publish", Some(&message)).status,
            who.get("/api/v1/config").status,
        ];
        assert_eq!(found, expected, "{name}");
    }
    let refused = http.get("/api/v1/status");
    assert!(refused.head.to_lowercase().contains("www-authenticate: bearer"), "{}", refused.head);
    let mut command = Command::new(built_program("tidewire"));
    command.args(["token", "delete", "operator", "--file"]).arg(&file);
    assert!(command.status().expect("it was built").success());
    assert_eq!(operator.get("/api/v1/status").status, 401, "at once, whoever asked last");
    let later = http.with(&token(&folder, "operator"));
    assert_eq!(later.get("/api/v1/status").status, 200, "one that was just made is good at once");
    assert_eq!(viewer.get("/api/v1/status").status, 200, "the others are as they were");
}

#[test]
fn the_port_is_never_open_to_the_network_without_tokens() {
    let folder = TempDir::new().expect("a folder");
    for (settings, told) in [
        ("bind = \"0.0.0.0:0\"\n", "tidewire token create"),
        ("bind = \"0.0.0.0:0\"\nanonymous = \"allow\"\n", "this machine alone"),
        ("bind = \"127.0.0.1:0\"\ntoken_file = \"nowhere\"\n", "nowhere"),
    ] {
        let file = folder.path().join("tidewire.toml");
        std::fs::write(&file, format!("[listener.http]\n{settings}")).expect("written");
        let mut command = Command::new(built_program("tidewire"));
        command.arg("--config").arg(&file).args(["--mqtt", "127.0.0.1:0", "--kafka", "off"]);
        let mut program = Program::start(command.current_dir(folder.path()));
        let (status, _) = program.rest();
        assert!(!status.success(), "{settings}");
        program.await_output(told);
    }
}

#[test]
fn with_a_certificate_the_port_speaks_https() {
    let authority = Authority::new("test");
    let pair = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let (cert, key) = (&pair.cert, &pair.key);
    let tls = format!("[listener.http.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n");
    let (broker, http) = start(&tls);
    let address = format!("https://{}/", broker.http_address());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--cacert"]).arg(authority.path());
    // Two over one connection, and an answer that is many records long.
    let paths = ["readyz", "api/v1/openapi.json"].map(|path| format!("{address}{path}"));
    let output = curl.args(paths).output().expect("curl is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        said.starts_with("{\"status\":\"ready\"") && said.contains("/api/v1/clients"),
        "{said}"
    );
    let plain = http.say(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(plain.is_none_or(|answer| answer.status != 200), "not without TLS");
}
