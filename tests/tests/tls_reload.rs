//! Do new certificates, authorities and lists of the revoked come into force without anybody
//! being dropped, and do bad ones change nothing?
//!
//! `cargo xtask scale` runs it with the number of clients that is promised.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::http::Http;
use tidewire_tests::over::Over;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::wire::{Publish, Version, connect, publish};

const SWAPS: usize = 20;
const READ_ANEW: &str = "certificates read anew: new handshakes use them";
const KEPT: &str = "changed certificates cannot be used, those before stay";

/// How many clients publish meanwhile.
fn clients() -> usize {
    let is_full = std::env::var_os("TIDEWIRE_SCALE").is_some_and(|scale| scale == "full");
    if is_full { 1_000 } else { 100 }
}

/// A broker that asks for certificates of an authority and looks them up in its list.
struct Setup {
    authority: Authority,
    server: Pair,
    broker: Broker,
}

impl Setup {
    fn new() -> Self {
        let authority = Authority::new("Test CA");
        let server = authority.sign("server", Use::Server, &["localhost"]);
        let crl = authority.list();
        let (Pair { cert, key, .. }, ca) = (&server, authority.path());
        let bundle = authority.file("clients.pem");
        fs::copy(&ca, &bundle).expect("copied");
        let broker = Configured::new(&format!(
            "[listener.mqtts]\nbind = \"127.0.0.1:0\"\n[listener.mqtts.tls]\n\
             cert_file = {cert:?}\nkey_file = {key:?}\nclient_auth = \"required\"\n\
             client_ca_file = {bundle:?}\ncrl_files = [{crl:?}]\n\
             [listener.http]\nbind = \"127.0.0.1:0\"\n"
        ));
        Self { broker: broker.start(), authority, server }
    }

    fn address(&self) -> SocketAddr {
        self.broker.address_of("mqtts")
    }

    fn trust(&self, client: &Pair) -> Trust {
        Trust::new(&self.authority.path(), Some(client))
    }
}

fn der(path: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(path).expect("a certificate").to_vec()
}

/// Opens a session; with TLS 1.3, only an answer shows that a client's certificate was taken.
fn session(address: SocketAddr, trust: &Trust, client_id: &str) -> std::io::Result<Secure> {
    let mut client = Secure::open(address, trust)?;
    client.say(&connect(Version::V4, client_id, true, 0, None))?;
    assert_eq!(client.hear(4)?, [0x20, 2, 0, 0], "{client_id}");
    Ok(client)
}

/// Publishes and is acknowledged, until it is over. Answers whether it was never dropped.
fn publish_on(mut client: Secure, topic: &str, over: &Over, count: &AtomicU64) -> bool {
    while !over.within(Duration::from_millis(20)) {
        let message = publish(Version::V4, &Publish::new(topic, "21.5", 1, 7));
        let answer = client.say(&message).and_then(|()| client.hear(4));
        if answer.ok().as_deref() != Some(&[0x40, 2, 0, 7]) {
            return false;
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
    true
}

#[test]
fn nobody_is_dropped_while_certificates_authorities_and_lists_are_swapped() {
    let setup = Setup::new();
    let client = setup.authority.sign("client", Use::Client, &["device"]);
    let (address, trust) = (setup.address(), setup.trust(&client));
    let (over, count) = (Over::default(), AtomicU64::new(0));
    let began = Instant::now();
    let kept = thread::scope(|scope| {
        let start = |n: usize| {
            let (trust, over, count) = (&trust, &over, &count);
            scope.spawn(move || {
                let client = session(address, trust, &format!("device {n}")).expect("let in");
                publish_on(client, &format!("plant/{n}"), over, count)
            })
        };
        let publishing: Vec<_> = (0..clients()).map(start).collect();
        let at_last = over.at_last();
        for swap in 1..=SWAPS {
            swap_all(&setup, swap);
        }
        drop(at_last);
        publishing.into_iter().map(|it| it.join().expect("no panic")).collect::<Vec<bool>>()
    });
    let dropped = kept.iter().filter(|kept| !**kept).count();
    let (clients, count) = (clients(), count.into_inner());
    println!("{clients} clients published {count} messages in {:?}", began.elapsed());
    println!("through {SWAPS} swaps; {dropped} were dropped");
    assert_eq!(dropped, 0);
    assert!(count > clients as u64, "too little was published: {count}");
}

/// A new certificate, one authority more, one client revoked: new handshakes know of each.
fn swap_all(setup: &Setup, swap: usize) {
    let (address, authority) = (setup.address(), &setup.authority);
    let late = authority.sign("late", Use::Client, &["late"]);
    // It keeps the ticket that it gets: no way around the list.
    let late_trust = setup.trust(&late);
    for is_known in [false, true] {
        let session = session(address, &late_trust, "late").expect("not revoked yet");
        assert_eq!(session.is_resumed(), is_known);
    }
    let another = Authority::new(&format!("Plant {swap}"));
    let foreign = another.sign("foreign", Use::Client, &["foreign"]);
    another.revoke(&another.sign("other", Use::Client, &["other"]));
    let guest = Trust::new(&authority.path(), Some(&foreign));
    assert!(session(address, &guest, "guest").is_err(), "its authority is not known yet");

    let text = |path: &Path| fs::read_to_string(path).expect("a file");
    let bundle = format!("{}{}", text(&authority.path()), text(&another.path()));
    fs::write(authority.file("clients.pem"), bundle).expect("written");
    authority.revoke(&late);
    let lists = format!("{}{}", text(&authority.list()), text(&another.file("crl.pem")));
    fs::write(authority.file("crl.pem"), lists).expect("written");
    // On a busy machine the broker may look between two of these files. It reads this one first:
    // once it is shown, those before are in force.
    let server = authority.sign("server", Use::Server, &["localhost"]);
    await_shown(setup, &server.cert);

    drop(session(address, &guest, "guest").expect("its authority is known now"));
    assert!(session(address, &late_trust, "late").is_err(), "it is revoked now");
}

/// Until a new handshake is shown this certificate; it takes the broker a moment to see the file.
fn await_shown(setup: &Setup, cert: &Path) {
    let client = setup.authority.sign("looking", Use::Client, &["looking"]);
    let (trust, expected) = (setup.trust(&client), der(cert));
    let began = Instant::now();
    while Secure::open(setup.address(), &trust).expect("let in").shown() != expected {
        assert!(began.elapsed() < PATIENCE, "the new one is never shown");
    }
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_of() {
    let setup = Setup::new();
    let client = setup.authority.sign("client", Use::Client, &["device"]);
    let (address, trust) = (setup.address(), setup.trust(&client));
    let before = der(&setup.server.cert);
    let good = fs::read_to_string(&setup.server.cert).expect("a file");
    let other = Authority::new("Other CA");
    let old = other.sign("old", Use::Expired, &["localhost"]);
    let stranger = other.sign("stranger", Use::Server, &["localhost"]);
    let text = |path: &Path| fs::read_to_string(path).expect("a file");
    let broken = good.replace("MII", "...");
    for (times, (content, told)) in [
        ("", "holds no certificate"),
        (&broken, "is no PEM file"),
        (&text(&stranger.cert), "is not that of the certificate"),
        (&text(&old.cert), "is not that of the certificate"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&setup.server.cert, content).expect("written");
        setup.broker.await_times(KEPT, times + 1);
        setup.broker.await_output(told);
        assert_eq!(Secure::open(address, &trust).expect("let in").shown(), before, "{told}");
    }
    fs::remove_file(&setup.server.cert).expect("removed");
    setup.broker.await_output("cannot read");
    assert_eq!(Secure::open(address, &trust).expect("let in").shown(), before);
    // Its pair has run out: it does not replace one that has not.
    fs::write(&setup.server.key, text(&old.key)).expect("written");
    fs::write(&setup.server.cert, text(&old.cert)).expect("written");
    setup.broker.await_output("has expired");
    assert_eq!(Secure::open(address, &trust).expect("let in").shown(), before);
    // And back.
    let server = setup.authority.sign("server", Use::Server, &["localhost"]);
    await_shown(&setup, &server.cert);
}

/// The list is replaced while the broker can open no file; nothing changes in the folder when it
/// can again.
#[test]
fn a_list_that_could_not_be_read_comes_into_force_by_itself_when_it_can_be() {
    let setup = Setup::new();
    let client = |name: &str| setup.trust(&setup.authority.sign(name, Use::Client, &[name]));
    let late = setup.authority.sign("late", Use::Client, &["late"]);
    let (address, trust, late_trust) = (setup.address(), client("device"), setup.trust(&late));
    let http = Http::new(setup.broker.http_address());
    let kept = "tidewire_tls_reloads_total{result=\"kept\"}";
    let mut open = session(address, &trust, "device").expect("let in");
    drop(session(address, &late_trust, "late").expect("not revoked yet"));
    http.await_series(kept, 0.0);
    setup.broker.forbid_files();
    setup.authority.revoke(&late);
    setup.broker.await_output(KEPT);
    open.say(&[0xc0, 0]).expect("it reads");
    assert_eq!(open.hear(2).expect("it answers"), [0xd0, 0]);
    setup.broker.limit_files(1_000);
    setup.broker.await_output(READ_ANEW);
    setup.broker.await_output("; it is tried again");
    assert!(session(address, &late_trust, "late").is_err(), "it is revoked now");
    drop(session(address, &trust, "another").expect("let in"));
    http.await_series("tidewire_tls_reloads_total{result=\"done\"}", 1.0);
    assert!(http.series(kept).is_some_and(|count| count > 0.5), "each try in vain is counted");
    assert_eq!(setup.broker.output().matches(READ_ANEW).count(), 1);
}

#[test]
fn a_list_that_is_away_or_half_written_changes_nothing_until_it_is_whole() {
    let setup = Setup::new();
    let Setup { authority, broker, .. } = &setup;
    let late = ["late", "later"].map(|name| authority.sign(name, Use::Client, &[name]));
    let good = setup.trust(&authority.sign("client", Use::Client, &["device"]));
    let is_let = |trust: &Trust| session(setup.address(), trust, "device").is_ok();
    let await_refused = |pair: &Pair| {
        let began = Instant::now();
        while is_let(&setup.trust(pair)) {
            assert!(began.elapsed() < PATIENCE, "its list is never read");
        }
        assert!(is_let(&good));
    };
    fs::remove_file(authority.file("crl.pem")).expect("it was there");
    broker.await_output("; it is tried again");
    assert!(is_let(&good) && is_let(&setup.trust(&late[0])), "the one before counts");
    authority.revoke(&late[0]);
    await_refused(&late[0]);
    authority.revoke(&late[1]);
    let whole = fs::read_to_string(authority.file("crl.pem")).expect("a file");
    fs::write(authority.file("crl.pem"), &whole[..whole.len() / 2]).expect("written");
    broker.await_output("crl.pem is no PEM file");
    assert!(is_let(&good) && !is_let(&setup.trust(&late[0])), "the one before counts");
    fs::write(authority.file("crl.pem"), whole).expect("written");
    await_refused(&late[1]);
}

#[test]
fn sighup_reads_certificates_anew_and_ends_nothing() {
    let setup = Setup::new();
    let client = setup.authority.sign("client", Use::Client, &["device"]);
    let mut open = session(setup.address(), &setup.trust(&client), "device").expect("let in");
    setup.broker.hang_up();
    setup
        .broker
        .await_output("SIGHUP: the configuration, certificates and files of users are read anew.");
    setup.broker.await_output(READ_ANEW);
    open.say(&[0xc0, 0]).expect("it reads");
    assert_eq!(open.hear(2).expect("it answers"), [0xd0, 0]);
    let plain = Broker::start();
    plain.hang_up();
    plain.await_output("SIGHUP");
}
