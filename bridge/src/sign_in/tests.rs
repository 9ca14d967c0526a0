//! Claims about signing in, without a socket and without a hash.

use std::net::IpAddr;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use parking_lot::Mutex;
use tidewire_proto::scram::{Credentials, Method, Users};

use super::{Next, SignIn, Stranger, parse_bearer, parse_plain};
use crate::gate::{Gate, Login, Mechanism, OnVerdict, Shown, Verdict};
use crate::text::spoken;
use crate::wire::Refusal;

fn right() -> Verdict {
    Verdict::Right(Shown::plain("ann".into()))
}

/// A gate that says what it is told to.
struct Told {
    verdict: Verdict,
    is_at_once: bool,
    tries: Mutex<i32>,
}

impl Told {
    fn new(verdict: Verdict) -> Self {
        Self { verdict, is_at_once: false, tries: Mutex::new(1) }
    }
}

impl Gate for Told {
    fn mechanisms(&self) -> Vec<Mechanism> {
        vec![Mechanism::Plain, Mechanism::Scram(Method::Sha512), Mechanism::Bearer]
    }

    fn check(&self, _: Login, answer: OnVerdict) -> Option<Verdict> {
        if self.is_at_once {
            return Some(self.verdict.clone());
        }
        answer(self.verdict.clone());
        None
    }

    fn users(&self) -> Option<Arc<Users>> {
        let made = Credentials::from_salted_password(Method::Sha512, &[1; 64], b"saltsalt", 5_000);
        Some(Arc::new(Users::parse(&format!("ann:{made}")).unwrap()))
    }

    fn may_try(&self, _: IpAddr, _: &str) -> bool {
        *self.tries.lock() > 0
    }

    fn was_wrong(&self, _: IpAddr, _: &str) {
        *self.tries.lock() -= 1;
    }
}

fn name(sign_in: &mut SignIn, gate: &Told, mechanism: &str) -> i16 {
    let request = SaslHandshakeRequest::default().with_mechanism(spoken(mechanism));
    let answer = sign_in.name(gate, &request);
    assert_eq!(
        answer.mechanisms,
        [spoken("PLAIN"), spoken("SCRAM-SHA-512"), spoken("OAUTHBEARER")]
    );
    answer.error_code
}

/// The error, and how it goes on.
fn show(sign_in: &mut SignIn, gate: &Told, said: &[u8]) -> (i16, Next) {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(said.to_vec().into());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let address = [127, 0, 0, 1].into();
    let here = Stranger { address, client_id: "c", listener: "kafka" };
    let (answer, next) = runtime.block_on(sign_in.show(gate, here, &request));
    assert_eq!(answer.session_lifetime_ms, 0);
    assert_eq!(answer.error_message.is_some(), answer.error_code != 0);
    (answer.error_code, next)
}

#[test]
fn a_password_is_answered_by_what_was_found_out_and_never_called_wrong_for_less() {
    let later = ResponseError::BrokerNotAvailable.code();
    for (verdict, code, refusal) in [
        (right(), 0, None),
        (
            Verdict::Wrong,
            ResponseError::SaslAuthenticationFailed.code(),
            Some(Refusal::NotAuthorized),
        ),
        (Verdict::TooOften, later, Some(Refusal::Guessing)),
        (Verdict::Busy, later, Some(Refusal::Busy)),
        (Verdict::Unavailable, later, Some(Refusal::Unavailable)),
    ] {
        for is_at_once in [true, false] {
            let gate = Told { is_at_once, ..Told::new(verdict.clone()) };
            let mut sign_in = SignIn::default();
            assert_eq!(name(&mut sign_in, &gate, "PLAIN"), 0);
            let (found, next) = show(&mut sign_in, &gate, b"\0ann\0pencil");
            assert_eq!(found, code, "{verdict:?}");
            match next {
                Next::Shown(shown) => assert_eq!((&*shown.user, refusal), ("ann", None)),
                Next::Over(why) => assert_eq!(Some(why), refusal),
                Next::More => panic!("PLAIN is one step"),
            }
        }
    }
}

#[test]
fn a_mechanism_that_is_not_there_is_told_from_those_that_are_and_another_may_follow() {
    let (mut sign_in, gate) = (SignIn::default(), Told::new(right()));
    let unsupported = ResponseError::UnsupportedSaslMechanism.code();
    for other in ["GSSAPI", "SCRAM-SHA-256", "plain", ""] {
        assert_eq!(name(&mut sign_in, &gate, other), unsupported, "{other}");
    }
    assert_eq!(name(&mut sign_in, &gate, "PLAIN"), 0);
    let illegal = ResponseError::IllegalSaslState.code();
    assert_eq!(name(&mut sign_in, &gate, "PLAIN"), illegal);
    let mut unnamed = SignIn::default();
    assert_eq!(show(&mut unnamed, &gate, b"\0ann\0pencil").0, illegal);
}

#[test]
fn a_wrong_proof_is_a_try_and_who_has_none_left_is_not_looked_at() {
    let gate = Told::new(right());
    let attempt = || {
        let mut sign_in = SignIn::default();
        assert_eq!(name(&mut sign_in, &gate, "SCRAM-SHA-512"), 0);
        let (code, next) = show(&mut sign_in, &gate, b"n,,n=ann,r=abc");
        assert!(code == 0 && matches!(next, Next::More));
        show(&mut sign_in, &gate, b"c=biws,r=abc,p=AAAA")
    };
    for (code, refusal) in [
        (ResponseError::SaslAuthenticationFailed, Refusal::NotAuthorized),
        (ResponseError::BrokerNotAvailable, Refusal::Guessing),
    ] {
        let (found, next) = attempt();
        assert_eq!(found, code.code());
        assert!(matches!(next, Next::Over(why) if why == refusal));
    }
}

#[test]
fn plain_is_three_parts_and_nobody_acts_for_another() {
    let long = format!("\0{}\0x", "u".repeat(1_025));
    for (said, expected) in [
        ("\0ann\0pencil", Some(("ann", &b"pencil"[..]))),
        ("ann\0ann\0pencil", Some(("ann", b"pencil"))),
        ("\0ann\0", Some(("ann", b""))),
        ("bob\0ann\0pencil", None),
        ("\0\0pencil", None),
        ("\0ann", None),
        ("\0ann\0pen\0cil", None),
        ("", None),
        (&long, None),
    ] {
        assert_eq!(parse_plain(said.as_bytes()), expected, "{said:?}");
    }
    assert_eq!(parse_plain(b"\0\xff\0x"), None);
}

#[test]
fn a_token_stands_behind_its_scheme_and_nobody_acts_for_another() {
    for (said, expected) in [
        ("n,,\u{1}auth=Bearer a.b.c\u{1}\u{1}", Some(("", "a.b.c"))),
        ("n,a=ann,\u{1}auth=bearer a.b.c\u{1}\u{1}", Some(("ann", "a.b.c"))),
        ("n,,\u{1}host=x\u{1}auth=Bearer t\u{1}port=1\u{1}\u{1}", Some(("", "t"))),
        ("n,,\u{1}auth=Bearer t\u{1}auth=Bearer u\u{1}\u{1}", None),
        ("n,,\u{1}auth=Basic t\u{1}\u{1}", None),
        ("n,,\u{1}auth=Bearer t\u{1}", None),
        ("n,,\u{1}\u{1}", None),
        ("y,,\u{1}auth=Bearer t\u{1}\u{1}", None),
        ("n,b=ann,\u{1}auth=Bearer t\u{1}\u{1}", None),
        ("\u{1}", None),
        ("", None),
    ] {
        assert_eq!(parse_bearer(said.as_bytes()), expected, "{said:?}");
    }
    assert_eq!(parse_bearer(b"n,,\x01auth=Bearer \xff\x01\x01"), None);
    let gate = Told::new(right());
    for (said, is_let_in) in [("n,,", true), ("n,a=ann,", true), ("n,a=bob,", false)] {
        let mut sign_in = SignIn::default();
        assert_eq!(name(&mut sign_in, &gate, "OAUTHBEARER"), 0);
        let said = format!("{said}\u{1}auth=Bearer t\u{1}\u{1}");
        let (code, next) = show(&mut sign_in, &gate, said.as_bytes());
        assert_eq!(code == 0, is_let_in, "{said:?}");
        assert_eq!(matches!(next, Next::Shown(_)), is_let_in, "{said:?}");
    }
}
