//! Claims about tokens: right ones, each way to be wrong, keys that are taken for others, and keys
//! that come late. Time is moved by hand; keys are made here.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Judged, Verifier, jwks};
use crate::config::{HttpUrl, JwtConfig, TokenUserName};
use crate::jwt::algorithm::Algorithm;
use crate::jwt::claims::Bearer;
use crate::jwt::fault::Fault;
use crate::jwt::looks_like_token;
use crate::metrics::Metrics;

const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";
/// Now, in seconds.
const NOW_S: i64 = 1_800_000_000;
const ANN: Bearer<'static> = Bearer { user: Some("ann"), client_id: "c1" };

static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"));
static P256: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"));
static P384: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key"));

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn rsa_pem() -> String {
    pem(AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(RSA.public_key())
        .expect("a key")
        .as_ref())
}

fn ec_pem(pair: &EcdsaKeyPair) -> String {
    pem(AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key())
        .expect("a key")
        .as_ref())
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs as this algorithm does, with the key that we have for it.
fn sign(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let mac = |hash| hmac::sign(&hmac::Key::new(hash, SECRET), message).as_ref().to_vec();
    let rsa = |encoding| {
        let mut signature = vec![0; RSA.public_modulus_len()];
        RSA.sign(encoding, &random, message, &mut signature).expect("signed");
        signature
    };
    let ec = |pair: &EcdsaKeyPair| pair.sign(&random, message).expect("signed").as_ref().to_vec();
    match algorithm {
        Algorithm::Hs256 => mac(hmac::HMAC_SHA256),
        Algorithm::Hs384 => mac(hmac::HMAC_SHA384),
        Algorithm::Hs512 => mac(hmac::HMAC_SHA512),
        Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
        Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
        Algorithm::Ps384 => rsa(&RSA_PSS_SHA384),
        Algorithm::Ps512 => rsa(&RSA_PSS_SHA512),
        Algorithm::Es256 => ec(&P256),
        Algorithm::Es384 => ec(&P384),
    }
}

fn signed(algorithm: Algorithm, head: &Value, claims: &[u8]) -> String {
    let message = format!("{}.{}", text(head.to_string().as_bytes()), text(claims));
    let signature = sign(algorithm, message.as_bytes());
    format!("{message}.{}", text(&signature))
}

/// A token with these claims besides a good expiry.
fn token(algorithm: Algorithm, claims: &Value) -> String {
    let mut all = json!({"sub": "ann", "exp": NOW_S + 60});
    let (all_map, more) = (all.as_object_mut().expect("a map"), claims.as_object().expect("a map"));
    all_map.extend(more.clone());
    // `null` takes a claim away.
    all_map.retain(|_, value| !value.is_null());
    signed(algorithm, &json!({"alg": algorithm.word()}), all.to_string().as_bytes())
}

struct Trial {
    folder: TempDir,
    config: JwtConfig,
}

impl Trial {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, config: JwtConfig { leeway_s: 0, ..JwtConfig::default() } }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// With keys of all kinds.
    fn with_all() -> Self {
        let mut trial = Self::new();
        trial.config.secret_file = Some(trial.file("secret", SECRET));
        for (name, pem) in [("rsa", rsa_pem()), ("p256", ec_pem(&P256)), ("p384", ec_pem(&P384))] {
            let path = trial.file(name, pem.as_bytes());
            trial.config.key_files.push(path);
        }
        trial
    }

    fn verifier(&self) -> Verifier {
        let refused = Arc::clone(&Metrics::register().tokens_refused);
        Verifier::open(&self.config, refused).expect("good keys")
    }

    /// The user, or why not.
    fn judge(&self, token: &str, bearer: Bearer<'_>) -> Result<Box<str>, Fault> {
        match self.verifier().judge(token.as_bytes(), bearer, NOW_S * 1_000) {
            Judged::Said(said) => Ok(said.user),
            Judged::Wrong(fault) => Err(fault),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(&self, claims: &Value, expected: Result<&str, Fault>) {
        let found = self.judge(&token(Algorithm::Hs256, claims), ANN);
        assert_eq!(found, expected.map(Into::into), "{claims}");
    }
}

#[test]
fn each_way_to_sign_is_checked_with_its_own_kind_of_key() {
    let trial = Trial::with_all();
    for algorithm in Algorithm::ALL {
        let token = token(algorithm, &json!({}));
        assert!(looks_like_token(token.as_bytes()));
        assert_eq!(trial.judge(&token, ANN), Ok("ann".into()), "{algorithm:?}");
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        for (at, wrong) in [(0, "A"), (0, "B"), (signature.len() / 2, "A"), (5, "_")] {
            let mut other = signature.to_owned();
            other.replace_range(at..=at, wrong);
            if other != signature {
                let token = format!("{message}.{other}");
                assert_eq!(trial.judge(&token, ANN), Err(Fault::Signature), "{algorithm:?}");
            }
        }
        for signature in ["", "AA", &signature[..signature.len() - 4]] {
            let judged = trial.judge(&format!("{message}.{signature}"), ANN);
            // Cut in the middle of a byte it is no signature at all.
            assert!(matches!(judged, Err(Fault::Signature | Fault::Form)), "{algorithm:?}");
        }
        let (head, claims) = message.split_once('.').expect("two parts");
        let other = text(json!({"sub": "eve", "exp": NOW_S + 60}).to_string().as_bytes());
        assert_ne!(other, claims);
        let token = format!("{head}.{other}.{signature}");
        assert_eq!(trial.judge(&token, ANN), Err(Fault::Signature), "{algorithm:?}");
    }
    let words: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.word()).collect();
    assert_eq!(words, crate::jwt_words::ALGORITHMS);
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let mut trial = Trial::new();
    trial.config.key_files = vec![trial.file("rsa", rsa_pem().as_bytes())];
    let message = |word: &str| {
        let head = text(json!({"alg": word}).to_string().as_bytes());
        let claims = text(json!({"sub": "eve", "exp": NOW_S + 60}).to_string().as_bytes());
        format!("{head}.{claims}")
    };
    let message = message("HS256");
    let pem = rsa_pem();
    for known in [pem.as_bytes(), pem.trim_end().as_bytes(), RSA.public_key().as_ref()] {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, known), message.as_bytes());
        let token = format!("{message}.{}", text(mac.as_ref()));
        assert_eq!(trial.judge(&token, ANN), Err(Fault::Algorithm));
    }
    for wrong in [Algorithm::Es256, Algorithm::Hs256] {
        assert_eq!(trial.judge(&token(wrong, &json!({})), ANN), Err(Fault::Algorithm));
    }
    trial.config.secret_file = Some(trial.file("secret", rsa_pem().as_bytes()));
    let refused = Arc::clone(&Metrics::register().tokens_refused);
    assert!(Verifier::open(&trial.config, refused).is_err(), "PEM is no secret");
}

#[test]
fn a_token_without_a_signature_is_none_however_it_is_written() {
    let trial = Trial::with_all();
    let claims = text(json!({"sub": "eve", "exp": NOW_S + 60}).to_string().as_bytes());
    for word in ["none", "None", "NONE", "", "hs256", "HS256 ", "EdDSA", "ES512", "HS1"] {
        let head = text(json!({"alg": word}).to_string().as_bytes());
        for signature in ["", "AA"] {
            let token = format!("{head}.{claims}.{signature}");
            assert_eq!(trial.judge(&token, ANN), Err(Fault::Algorithm), "{word:?}");
        }
    }
    for head in [
        json!({}),
        json!({"alg": null}),
        json!({"alg": 1}),
        json!({"alg": ["HS256"]}),
        json!({"alg": "HS256", "kid": 1}),
        json!([]),
    ] {
        let token = signed(Algorithm::Hs256, &head, br#"{"sub":"eve"}"#);
        assert_eq!(trial.judge(&token, ANN), Err(Fault::Form), "{head}");
    }
    let head = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let token = signed(Algorithm::Hs256, &head, br#"{"sub":"eve"}"#);
    assert_eq!(trial.judge(&token, ANN), Err(Fault::Critical));
}

#[test]
fn what_is_no_token_is_told_from_one() {
    let trial = Trial::with_all();
    let good = token(Algorithm::Hs256, &json!({}));
    for (password, is_meant) in [
        ("", false),
        ("pencil", false),
        ("enter.the.matrix", false),
        ("a.b.c", false),
        ("..", false),
        ("e30", false),
        ("e30.e30.e30.e30", false),
        ("e30.e30.e30", true),
        (&*format!("{good}.x"), false),
        (&*format!(" {good}"), false),
        (&*format!("{good}="), true),
        (&*good.replace('.', ".."), false),
    ] {
        assert_eq!(looks_like_token(password.as_bytes()), is_meant, "{password}");
        assert_eq!(trial.judge(password, ANN), Err(Fault::Form), "{password}");
    }
    assert!(!looks_like_token(b"e30.\xff.e30"), "not UTF-8");
    let huge = format!("e30.{}.e30", "A".repeat(64 * 1024));
    assert!(!looks_like_token(huge.as_bytes()));
    assert_eq!(trial.judge(&huge, ANN), Err(Fault::Form));
    for claims in [&b"\xff"[..], b"", b"[]", b"1", b"{\"sub\":\"ann\"", b"{\"sub\":\"\xff\"}"] {
        let token = signed(Algorithm::Hs256, &json!({"alg": "HS256"}), claims);
        assert_eq!(trial.judge(&token, ANN), Err(Fault::Form), "{claims:?}");
    }
}

#[test]
fn a_token_holds_for_its_time_alone() {
    let mut trial = Trial::with_all();
    for (claims, expected) in [
        (json!({"exp": NOW_S + 1}), Ok("ann")),
        (json!({"exp": NOW_S}), Err(Fault::Expired)),
        (json!({"exp": NOW_S - 1}), Err(Fault::Expired)),
        (json!({"exp": 0}), Err(Fault::Expired)),
        (json!({"exp": null}), Err(Fault::NoExpiry)),
        (json!({"exp": "1900000000"}), Err(Fault::Claim("exp".into()))),
        (json!({"exp": -1}), Err(Fault::Claim("exp".into()))),
        (json!({"exp": 1e300}), Err(Fault::Claim("exp".into()))),
        (json!({"exp": 1.0e10 + 0.5}), Ok("ann")),
        (json!({"nbf": NOW_S}), Ok("ann")),
        (json!({"nbf": NOW_S + 1}), Err(Fault::Early)),
        (json!({"nbf": []}), Err(Fault::Claim("nbf".into()))),
    ] {
        trial.check(&claims, expected);
    }
    trial.config.leeway_s = 10;
    trial.check(&json!({"exp": NOW_S - 9}), Ok("ann"));
    trial.check(&json!({"exp": NOW_S - 10}), Err(Fault::Expired));
    trial.check(&json!({"nbf": NOW_S + 10}), Ok("ann"));
    trial.check(&json!({"nbf": NOW_S + 11}), Err(Fault::Early));
    let token = token(Algorithm::Hs256, &json!({}));
    let Judged::Said(said) = trial.verifier().judge(token.as_bytes(), ANN, NOW_S * 1_000) else {
        panic!("a good token");
    };
    assert_eq!(said.until_ms, Some((NOW_S + 70) * 1_000), "it may last as long as it may begin");
    trial.config.require_expiry = false;
    trial.check(&json!({"exp": null}), Ok("ann"));
    trial.check(&json!({"exp": NOW_S - 11}), Err(Fault::Expired));
}

#[test]
fn a_token_is_from_whom_and_for_whom_it_must_be() {
    let mut trial = Trial::with_all();
    trial.check(&json!({"iss": "whoever", "aud": "whatever"}), Ok("ann"));
    trial.config.issuer = Some("https://id.example".into());
    trial.config.audience = Some("mqtt".into());
    let right = |aud: Value| json!({"iss": "https://id.example", "aud": aud});
    for (claims, expected) in [
        (right("mqtt".into()), Ok("ann")),
        (right(json!(["kafka", "mqtt"])), Ok("ann")),
        (right(json!(["kafka"])), Err(Fault::Audience)),
        (right(json!([])), Err(Fault::Audience)),
        (right(Value::Null), Err(Fault::Audience)),
        (right("mqtt2".into()), Err(Fault::Audience)),
        (json!({"aud": "mqtt"}), Err(Fault::Issuer)),
        (json!({"aud": "mqtt", "iss": ["https://id.example"]}), Err(Fault::Issuer)),
        (json!({"aud": "mqtt", "iss": "https://id.example/"}), Err(Fault::Issuer)),
    ] {
        trial.check(&claims, expected);
    }
}

#[test]
fn who_the_client_is_says_the_claim_and_names_may_have_to_be_the_same() {
    let mut trial = Trial::with_all();
    let claim = |claim: &str| Err(Fault::Claim(claim.into()));
    trial.check(&json!({"sub": "eve"}), Ok("eve"));
    for wrong in [json!(""), json!(null), json!(1), json!(["ann"]), json!("a\nb"), json!("a\u{0}")]
    {
        trial.check(&json!({"sub": wrong}), claim("sub"));
    }
    trial.check(&json!({"sub": "x".repeat(1_024)}), Ok(&"x".repeat(1_024)));
    trial.check(&json!({"sub": "x".repeat(1_025)}), claim("sub"));
    trial.config.user_claim = "device".into();
    trial.check(&json!({"device": "meter"}), Ok("meter"));
    trial.check(&json!({}), claim("device"));
    trial.config.user_claim = "sub".into();
    trial.config.user_name = TokenUserName::Claim;
    trial.check(&json!({}), Ok("ann"));
    trial.check(&json!({"sub": "eve"}), Err(Fault::UserName));
    // Kafka's way to bring a token names nobody besides.
    let silent = Bearer { user: None, ..ANN };
    let eves = token(Algorithm::Hs256, &json!({"sub": "eve"}));
    assert_eq!(trial.judge(&eves, silent), Ok("eve".into()));
    trial.config.client_id_claim = Some("cid".into());
    trial.check(&json!({"cid": "c1"}), Ok("ann"));
    trial.check(&json!({"cid": "c2"}), Err(Fault::ClientId));
    trial.check(&json!({}), claim("cid"));
}

#[test]
fn groups_and_topics_are_understood_whole_or_the_token_is_none() {
    let mut trial = Trial::with_all();
    trial.config.groups_claim = Some("groups".into());
    trial.config.acl_claim = Some("acl".into());
    let acl = json!({"publish": ["a/%u"], "subscribe": ["#"]});
    let with = |groups: Value| json!({"groups": groups, "acl": acl});
    trial.check(&with(json!(["ops", "plant"])), Ok("ann"));
    trial.check(&with("ops".into()), Ok("ann"));
    trial.check(&with(Value::Null), Ok("ann"));
    for wrong in [json!(1), json!([1]), json!({}), json!([""]), json!(["a\n"])] {
        trial.check(&with(wrong), Err(Fault::Claim("groups".into())));
    }
    for (acl, is_taken) in [
        (json!({}), true),
        (json!({"publish": []}), true),
        (Value::Null, false),
        (json!([]), false),
        (json!({"publish": "a"}), false),
        (json!({"publish": [1]}), false),
        (json!({"subscribe": ["a/#/b"]}), false),
        (json!({"subscribe": ["$share/g/a"]}), false),
        (json!({"publish": ["a"], "pub": ["b"]}), false),
        (json!({"publish": vec!["a"; 257]}), false),
    ] {
        let expected = if is_taken { Ok("ann") } else { Err(Fault::Claim("acl".into())) };
        trial.check(&json!({"acl": acl}), expected);
    }
    let token = token(Algorithm::Hs256, &with(json!(["ops"])));
    let Judged::Said(said) = trial.verifier().judge(token.as_bytes(), ANN, NOW_S * 1_000) else {
        panic!("a good token");
    };
    let vouched = said.vouched.expect("groups and topics");
    assert_eq!(&*vouched.groups, &[Box::from("ops")]);
    assert!(vouched.narrow.is_some() && !vouched.is_superuser, "a token makes nobody that");
}

#[test]
fn only_the_ways_to_sign_that_are_named_are_taken() {
    let mut trial = Trial::with_all();
    trial.config.algorithms = vec!["RS256".into(), "ES256".into()];
    for (algorithm, is_taken) in
        [(Algorithm::Rs256, true), (Algorithm::Es256, true), (Algorithm::Hs256, false)]
    {
        let expected = if is_taken { Ok("ann".into()) } else { Err(Fault::Algorithm) };
        assert_eq!(trial.judge(&token(algorithm, &json!({})), ANN), expected, "{algorithm:?}");
    }
}

#[test]
fn files_that_hold_no_key_of_ours_are_refused() {
    let trial = Trial::new();
    let load = |config: &JwtConfig| super::load(config).map(|keys| keys.len()).is_ok();
    for (bytes, is_one) in [
        (&b"short"[..], false),
        (&b"x".repeat(31), false),
        (&b"x".repeat(32), true),
        (&[&*b"x".repeat(31), b"\n"].concat(), false),
        (&[&*b"x".repeat(32), b"\r\n"].concat(), true),
        (&[0xFF; 40], true),
    ] {
        let secret_file = Some(trial.file("s", bytes));
        assert_eq!(load(&JwtConfig { secret_file, ..JwtConfig::default() }), is_one, "{bytes:?}");
    }
    let private = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let certificate = {
        let key = rcgen::KeyPair::generate().expect("a key");
        rcgen::CertificateParams::default().self_signed(&key).expect("a certificate").pem()
    };
    let both = [rsa_pem(), ec_pem(&P256)].concat();
    for (pem, is_one) in [
        ("", false),
        ("nonsense", false),
        (&*private, false),
        (&*ed25519.public_key_pem(), false),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", false),
        (&*certificate, true),
        (&*both, true),
    ] {
        let key_files = vec![trial.file("k", pem.as_bytes())];
        assert_eq!(load(&JwtConfig { key_files, ..JwtConfig::default() }), is_one, "{pem}");
    }
}

fn rsa_jwk(more: Value) -> Value {
    let public = RSA.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let mut jwk = json!({
        "kty": "RSA",
        "n": text(n.big_endian_without_leading_zero()),
        "e": text(e.big_endian_without_leading_zero()),
    });
    let map = jwk.as_object_mut().expect("a map");
    map.extend(more.as_object().expect("a map").clone());
    jwk
}

fn p256_jwk() -> Value {
    let point = P256.public_key().as_ref();
    let (x, y) = (text(&point[1..33]), text(&point[33..]));
    json!({"kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y})
}

#[test]
fn of_a_set_what_is_not_for_signatures_is_passed_over() {
    let count = |keys: Vec<Value>| {
        let set = json!({"keys": keys}).to_string();
        jwks::parse(set.as_bytes()).map(|keys| keys.len()).unwrap_or(0)
    };
    for (jwk, is_taken) in [
        (rsa_jwk(json!({})), true),
        (p256_jwk(), true),
        (rsa_jwk(json!({"use": "sig", "alg": "RS256", "kid": "a", "x5c": ["…"]})), true),
        (rsa_jwk(json!({"use": "enc"})), false),
        (rsa_jwk(json!({"alg": "RSA-OAEP"})), false),
        (rsa_jwk(json!({"alg": "ES256"})), false),
        (rsa_jwk(json!({"alg": "HS256"})), false),
        (rsa_jwk(json!({"key_ops": ["encrypt"]})), false),
        (rsa_jwk(json!({"key_ops": ["verify"]})), true),
        (rsa_jwk(json!({"n": "AQAB"})), false),
        (rsa_jwk(json!({"n": "!"})), false),
        (rsa_jwk(json!({"e": null})), false),
        (json!({"kty": "oct", "k": text(SECRET), "kid": "s"}), false),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), false),
        (json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), false),
        (json!("x"), false),
    ] {
        assert_eq!(count(vec![jwk.clone()]), usize::from(is_taken), "{jwk}");
        assert_eq!(count(vec![p256_jwk(), jwk.clone()]), 1 + usize::from(is_taken), "{jwk}");
    }
    for set in [&b""[..], b"{}", b"[]", b"{\"keys\": 1}", b"<html>", b"\xff", b"{\"keys\": []}"] {
        assert!(jwks::parse(set).is_err(), "{set:?}");
    }
    assert_eq!(count(vec![p256_jwk(); 101]), 0, "too many");
}

#[test]
fn a_token_is_checked_with_the_key_that_it_names() {
    let mut trial = Trial::new();
    let other = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let mut wrong = rsa_jwk(json!({"kid": "wrong"}));
    let n = other.public_key().modulus();
    wrong["n"] = text(n.big_endian_without_leading_zero()).into();
    let only_512 = rsa_jwk(json!({"kid": "512", "alg": "RS512"}));
    let set = json!({"keys": [wrong, rsa_jwk(json!({"kid": "right"})), only_512, p256_jwk()]});
    trial.config.jwks_file = Some(trial.file("set", set.to_string().as_bytes()));
    let claims = json!({"sub": "ann", "exp": NOW_S + 60}).to_string();
    for (algorithm, kid, expected) in [
        (Algorithm::Rs256, json!("right"), Ok("ann")),
        (Algorithm::Rs256, json!("wrong"), Err(Fault::Signature)),
        (Algorithm::Rs256, json!("none"), Err(Fault::UnknownKey)),
        (Algorithm::Rs256, json!("512"), Err(Fault::UnknownKey)),
        (Algorithm::Rs512, json!("512"), Ok("ann")),
        (Algorithm::Rs256, Value::Null, Ok("ann")),
        (Algorithm::Es256, json!("ec"), Ok("ann")),
        (Algorithm::Rs256, json!("ec"), Err(Fault::UnknownKey)),
        (Algorithm::Hs256, json!("right"), Err(Fault::Algorithm)),
    ] {
        let head = json!({"alg": algorithm.word(), "kid": kid});
        let token = signed(algorithm, &head, claims.as_bytes());
        let expected = expected.map(Into::into);
        assert_eq!(trial.judge(&token, ANN), expected, "{algorithm:?} {kid}");
    }
}

#[test]
fn where_keys_are_fetched_nobody_is_wrong_before_they_are_known() {
    let mut trial = Trial::new();
    let url: HttpUrl = serde_json::from_value("http://127.0.0.1:1/".into()).expect("a URL");
    trial.config.jwks_url = Some(url);
    let verifier = trial.verifier();
    let judge = |kid: &str| {
        let head = json!({"alg": "RS256", "kid": kid});
        let claims = json!({"sub": "ann", "exp": NOW_S + 60}).to_string();
        let token = signed(Algorithm::Rs256, &head, claims.as_bytes());
        verifier.judge(token.as_bytes(), ANN, NOW_S * 1_000)
    };
    let keys = |kid: &str| {
        let set = json!({"keys": [rsa_jwk(json!({"kid": kid}))]}).to_string();
        Some(jwks::parse(set.as_bytes()).expect("a set"))
    };
    let is_due = || verifier.wait_until_due(|| false);
    assert_eq!(judge("a"), Judged::Later, "they are on their way");
    assert!(is_due());
    verifier.on_fetched(None);
    assert_eq!(judge("a"), Judged::Unavailable, "nobody can say");
    verifier.on_fetched(keys("a"));
    assert!(matches!(judge("a"), Judged::Said(_)));
    assert_eq!(judge("b"), Judged::Wrong(Fault::UnknownKey), "they were fetched just now");
    verifier.on_fetched(None);
    assert!(matches!(judge("a"), Judged::Said(_)), "what was known stays");
    assert_eq!(judge("b"), Judged::Unavailable);
    verifier.on_fetched(keys("b"));
    assert_eq!(judge("a"), Judged::Wrong(Fault::UnknownKey), "what is gone is gone");
    assert!(matches!(judge("b"), Judged::Said(_)));
    assert!(!verifier.wait_until_due(|| true));
    let secret = token(Algorithm::Hs256, &json!({}));
    let judged = verifier.judge(secret.as_bytes(), ANN, NOW_S * 1_000);
    assert_eq!(judged, Judged::Wrong(Fault::Algorithm), "no secret is ever fetched");
    let first = token(Algorithm::Es256, &json!({}));
    let judged = verifier.judge(first.as_bytes(), ANN, NOW_S * 1_000);
    assert_eq!(judged, Judged::Wrong(Fault::UnknownKey), "the first of its kind may come");
}

#[test]
fn a_key_without_a_name_does_not_hide_that_the_one_that_is_named_is_unknown() {
    let mut trial = Trial::new();
    let other = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let own = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(other.public_key());
    let own = pem(own.expect("a key").as_ref());
    trial.config.key_files = vec![trial.file("own.pem", own.as_bytes())];
    let head = json!({"alg": "RS256", "kid": "new"});
    let claims = json!({"sub": "ann", "exp": NOW_S + 60}).to_string();
    let token = signed(Algorithm::Rs256, &head, claims.as_bytes());
    assert_eq!(trial.judge(&token, ANN), Err(Fault::Signature), "no more may come");
    let url: HttpUrl = serde_json::from_value("http://127.0.0.1:1/".into()).expect("a URL");
    trial.config.jwks_url = Some(url);
    let judged = trial.verifier().judge(token.as_bytes(), ANN, NOW_S * 1_000);
    assert_eq!(judged, Judged::Later, "it may be on its way");
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let key = crate::jwt::key::Key::secret(SECRET).expect("a secret");
    let shown = format!("{key:?}");
    assert!(!shown.contains("secret") && !shown.contains("97"), "{shown}");
}
