//! Does MQTT.js in a real browser speak to the broker over WebSocket and TLS, and are a page from
//! elsewhere and a broker that the browser does not know kept apart?

use std::fs;
use std::net::SocketAddr;

use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::browser::Browser;
use tidewire_tests::configured::Configured;
use tidewire_tests::pages::{Files, Pages};
use tidewire_tests::places::{client_script, node_modules};
use tidewire_tests::wire::{Publish, Version, Wire};

/// A broker for pages, and a server for them.
struct Setup {
    broker: Broker,
    server: Pair,
    pages: Pages,
    _authority: Authority,
}

fn setup() -> Setup {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let (cert, key) = (&server.cert, &server.key);
    let config = Configured::new(&format!(
        "[listener.websocket]\nbind = \"127.0.0.1:0\"\n[listener.wss]\nbind = \"127.0.0.1:0\"\n\
         [listener.wss.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n"
    ));
    let read = |path| fs::read(path).expect("it is installed");
    let files = Files::from([
        ("/", ("text/html", read(client_script("browser/round_trip.html")))),
        ("/mqtt.min.js", ("text/javascript", read(node_modules().join("mqtt/dist/mqtt.min.js")))),
    ]);
    Setup { broker: config.start(), server, pages: Pages::serve(files), _authority: authority }
}

impl Setup {
    /// The page on this host, which connects like this.
    fn page(&self, host: &str, scheme: &str, version: u8) -> String {
        let broker: SocketAddr = self.broker.address_of(scheme);
        let (port, to) = (self.pages.port(), broker.port());
        format!("http://{host}:{port}/?broker={scheme}://127.0.0.1:{to}/mqtt&version={version}")
    }

    #[track_caller]
    fn tells(&self, browser: &Browser, expected: &str) {
        let told = self.pages.told();
        let told = told.unwrap_or_else(|| panic!("the page is silent\n{}", browser.output()));
        assert!(told.starts_with(expected), "{told}\n{}", browser.output());
    }
}

#[test]
fn a_page_speaks_over_websocket_with_and_without_tls_in_each_version() {
    let setup = setup();
    for (scheme, version) in [("wss", 5), ("wss", 4), ("ws", 5)] {
        let mut outside = Wire::clean(setup.broker.address(), Version::V5, "outside");
        outside.subscribe(1, &[("page/answer", 1)]);
        let page = setup.page("127.0.0.1", scheme, version);
        let browser = Browser::open(&page, Some(&setup.server));
        setup.tells(&browser, "ready");
        outside.publish_acknowledged(&Publish::new("page/own/greeting", "good tide", 1, 1));
        let _ = outside.receive("good tide to you");
        setup.tells(&browser, "done");
    }
}

#[test]
fn a_page_from_elsewhere_is_refused() {
    let setup = setup();
    let page = setup.page("elsewhere.test", "wss", 5);
    let browser = Browser::open(&page, Some(&setup.server));
    setup.tells(&browser, "failed: ");
}

#[test]
fn a_browser_does_not_take_a_certificate_of_an_authority_that_it_does_not_know() {
    let setup = setup();
    let browser = Browser::open(&setup.page("127.0.0.1", "wss", 5), None);
    setup.tells(&browser, "failed: ");
    setup.broker.await_output("it does not accept our certificate: does it know our authority");
}
