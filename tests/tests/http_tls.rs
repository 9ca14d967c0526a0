//! Does the HTTP port ask for certificates of clients as the ports of MQTT do, and take new ones
//! into use without a restart?

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::places::built_program;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::secure::{Secure, Trust};

/// A broker whose HTTP port has a certificate, a bundle of authorities and a list of the revoked.
struct Setup {
    authority: Authority,
    broker: Broker,
}

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

impl Setup {
    fn new(client_auth: &str) -> Self {
        let authority = Authority::new("Test CA");
        let Pair { cert, key, .. } = authority.sign("server", Use::Server, &NAMES);
        let bundle = authority.file("clients.pem");
        fs::copy(authority.path(), &bundle).expect("copied");
        let crl = authority.list();
        let broker = Broker::start_configured(&format!(
            "[listener.http]\nbind = \"127.0.0.1:0\"\n[listener.http.tls]\ncert_file = {cert:?}\n\
             key_file = {key:?}\nclient_auth = {client_auth:?}\nclient_ca_file = {bundle:?}\n\
             crl_files = [{crl:?}]\n"
        ));
        Self { authority, broker }
    }

    /// What curl hears of a page, showing a certificate or none.
    fn curl(&self, shown: Option<&Pair>, path: &str) -> Output {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--max-time", "120", "--cacert"]).arg(self.authority.path());
        if let Some(Pair { cert, key, .. }) = shown {
            curl.arg("--cert").arg(cert).arg("--key").arg(key);
        }
        let url = format!("https://{}/{path}", self.broker.http_address());
        curl.arg(url).output().expect("curl is installed")
    }

    #[track_caller]
    fn lets_in(&self, shown: Option<&Pair>) -> bool {
        let output = self.curl(shown, "readyz");
        let is_in = output.status.success();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(is_in, said.starts_with("{\"status\":\"ready\""), "{output:?}");
        is_in
    }

    /// One of the commands that ask a running broker.
    fn tidewire(&self, noun: &[&str], shown: Option<(&Path, &Path)>) -> (bool, String) {
        let mut command = Command::new(built_program("tidewire"));
        let url = format!("https://{}", self.broker.http_address());
        command.args(noun).args(["--url", &url, "--cafile"]).arg(self.authority.path());
        if let Some((cert, key)) = shown {
            command.arg("--cert").arg(cert).arg("--key").arg(key);
        }
        let output = command.output().expect("the program was built");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("we write UTF-8"))
    }
}

#[test]
fn a_port_that_asks_for_certificates_serves_who_has_a_good_one_and_says_why_others_not() {
    let setup = Setup::new("required");
    let authority = &setup.authority;
    let good = authority.sign("good", Use::Client, &["press-7"]);
    let revoked = authority.sign("revoked", Use::Client, &["gone"]);
    assert!(setup.lets_in(Some(&good)) && setup.lets_in(Some(&revoked)));
    authority.revoke(&revoked);
    let began = Instant::now();
    while setup.lets_in(Some(&revoked)) {
        assert!(began.elapsed() < PATIENCE, "the list is never read anew");
    }
    let other = Authority::new("Other CA");
    let stranger = other.sign("b", Use::Client, &["b"]);
    let expired = authority.sign("expired", Use::Expired, &["old"]);
    for (shown, told, result) in [
        (None, "it showed no certificate, and this listener asks for one", "no_certificate"),
        (Some(&revoked), "its certificate was revoked", "revoked"),
        (
            Some(&stranger),
            "its certificate was not signed by an authority of `client_ca_file`",
            "unknown_authority",
        ),
        (Some(&expired), "its certificate has expired", "expired"),
    ] {
        assert!(!setup.lets_in(shown), "{told}");
        setup.broker.await_output(told);
        let log = setup.broker.output();
        let line = log.lines().find(|line| line.contains(told)).expect("just seen");
        assert!(
            line.contains("\"peer\":\"127.0.0.1:") && line.contains("\"listener\":\"http\""),
            "{line}"
        );
        let metrics = setup.curl(Some(&good), "metrics").stdout;
        let metrics = String::from_utf8(metrics).expect("text");
        let series = format!("tidewire_tls_handshakes_total{{result={result:?}}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&*series));
        assert!(count.is_some_and(|count| count != "0"), "{series} {count:?}");
    }
    assert!(setup.lets_in(Some(&good)));
}

#[test]
fn where_certificates_may_be_left_out_a_wrong_one_is_refused_all_the_same() {
    let setup = Setup::new("optional");
    let good = setup.authority.sign("good", Use::Client, &["press-7"]);
    let other = Authority::new("Other CA");
    let stranger = other.sign("b", Use::Client, &["b"]);
    assert!(setup.lets_in(None) && setup.lets_in(Some(&good)));
    assert!(!setup.lets_in(Some(&stranger)));
}

#[test]
fn certificates_and_authorities_are_taken_into_use_as_their_files_change() {
    let setup = Setup::new("required");
    let authority = &setup.authority;
    let good = authority.sign("good", Use::Client, &["press-7"]);
    let another = Authority::new("Plant");
    let guest = another.sign("guest", Use::Client, &["guest"]);
    assert!(!setup.lets_in(Some(&guest)), "its authority is not known yet");
    let text = |path: &Path| fs::read_to_string(path).expect("a file");
    let bundle = format!("{}{}", text(&authority.path()), text(&another.path()));
    fs::write(authority.file("clients.pem"), bundle).expect("written");
    let lists = format!("{}{}", text(&authority.list()), text(&another.list()));
    fs::write(authority.file("crl.pem"), lists).expect("written");
    let server = authority.sign("server", Use::Server, &NAMES);
    let expected = CertificateDer::from_pem_file(&server.cert).expect("a certificate").to_vec();
    let trust = Trust::new(&authority.path(), Some(&good));
    let began = Instant::now();
    let shown = || Secure::open(setup.broker.http_address(), &trust).expect("let in").shown();
    while shown() != expected || !setup.lets_in(Some(&guest)) {
        assert!(began.elapsed() < PATIENCE, "the new ones are never used");
    }
    assert!(setup.lets_in(Some(&good)));
}

#[test]
fn the_commands_that_ask_a_broker_show_a_certificate_too() {
    let setup = Setup::new("required");
    let good = setup.authority.sign("good", Use::Client, &["press-7"]);
    let other = setup.authority.sign("other", Use::Client, &["press-8"]);
    let (cert, key) = (good.cert.as_path(), good.key.as_path());
    for noun in [&["health"][..], &["clients", "ls"]] {
        let (is_well, said) = setup.tidewire(noun, Some((cert, key)));
        assert!(is_well, "{noun:?}: {said}");
        let (is_well, said) = setup.tidewire(noun, None);
        assert!(!is_well && said.contains("--cert FILE"), "{noun:?}: {said}");
        let (is_well, said) = setup.tidewire(noun, Some((cert, &other.key)));
        assert!(!is_well && said.contains("is not that of the certificate"), "{noun:?}: {said}");
    }
}

#[test]
fn a_port_that_would_ask_for_certificates_without_tls_does_not_start() {
    let authority = Authority::new("Test CA");
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), authority.path());
    let file = folder.path().join("tidewire.toml");
    let text = format!(
        "[listener.http]\nbind = \"127.0.0.1:0\"\n[listener.http.tls]\n\
         client_auth = \"required\"\nclient_ca_file = {ca:?}\n"
    );
    fs::write(&file, text).expect("written");
    let mut command = Command::new(built_program("tidewire"));
    let output = command.arg("check").arg("--config").arg(&file).output().expect("built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("listener.http.tls.cert_file"), "{said}");
}
