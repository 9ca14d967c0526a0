//! Is a certificate good for what it is meant for? Looks at all that can be wrong, not at the first
//! thing only.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};

use crate::tls::{self, Facts};

const DAY_S: i64 = 86_400;
/// A certificate that is good for fewer days is worth a word.
pub(in crate::cli) const SOON_DAYS: i64 = 30;

/// What it is to be good for.
pub(super) struct Asked<'a> {
    pub(super) key: Option<&'a Path>,
    pub(super) ca: Option<&'a Path>,
    pub(super) crl: Option<&'a Path>,
    pub(super) name: Option<&'a str>,
}

/// What was found, and whether it is good.
pub(super) fn run(cert: &Path, asked: &Asked<'_>, as_json: bool) -> Result<(String, bool), String> {
    let chain = tls::certificates(cert).map_err(said)?;
    let mut report = Report::default();
    for cert in &chain {
        dates(&Facts::of(cert)?, &mut report);
    }
    if let Some(key) = asked.key {
        let matches = tls::check_pair(cert, key).map_err(said);
        report.say("key", matches.map(|()| "it is the key of the certificate".into()));
    }
    if let Some(ca) = asked.ca {
        report.say("chain", judge(&chain, ca, asked));
    } else if asked.name.is_some() || asked.crl.is_some() {
        return Err("--name and --crl are looked at with --ca".into());
    }
    let is_good = report.0.iter().all(|(_, found)| found.is_ok());
    Ok((if as_json { report.document(is_good) } else { report.words() }, is_good))
}

/// What was looked at, and what was found: good, or not.
#[derive(Default)]
struct Report(Vec<(&'static str, Result<String, String>)>);

impl Report {
    fn say(&mut self, what: &'static str, found: Result<String, String>) {
        self.0.push((what, found));
    }

    fn words(&self) -> String {
        let line = |(what, found): &(&str, Result<String, String>)| match found {
            Ok(words) => format!("{:<6} {what:<6} {words}", "ok"),
            Err(words) => format!("{:<6} {what:<6} {words}", "WRONG"),
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn document(&self, is_good: bool) -> String {
        let found = |(what, found): &(&str, Result<String, String>)| {
            let words = found.as_ref().unwrap_or_else(|words| words);
            json!({ "what": what, "ok": found.is_ok(), "words": words })
        };
        let found: Vec<Value> = self.0.iter().map(found).collect();
        json!({ "ok": is_good, "findings": found }).to_string()
    }
}

fn dates(facts: &Facts, report: &mut Report) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let Facts { subject, not_before_s, not_after_s, validity, .. } = facts;
    let days = (not_after_s - now_s).div_euclid(DAY_S);
    report.say(
        "dates",
        if *not_after_s < now_s {
            Err(format!("{subject} has run out: {validity}"))
        } else if *not_before_s > now_s {
            Err(format!("{subject} is not valid yet: {validity}"))
        } else if days < SOON_DAYS {
            Ok(format!("{subject} is good for {days} days only"))
        } else {
            Ok(format!("{subject} is good for {days} days"))
        },
    );
}

/// Whether who trusts the authority would accept it.
fn judge(chain: &[CertificateDer<'_>], ca: &Path, asked: &Asked<'_>) -> Result<String, String> {
    let (cert, between) = chain.split_first().ok_or("there is no certificate")?;
    let mut roots = RootCertStore::empty();
    for root in tls::certificates(ca).map_err(said)? {
        roots.add(root).map_err(said)?;
    }
    let crls = asked.crl.map(tls::revocations).transpose().map_err(said)?.unwrap_or_default();
    let (roots, provider, now) = (Arc::new(roots), tls::provider(), UnixTime::now());
    let Some(name) = asked.name else {
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider).with_crls(crls);
        let verifier = builder.build().map_err(said)?;
        verifier.verify_client_cert(cert, between, now).map_err(said)?;
        return Ok("a server that trusts the authority lets this client in".into());
    };
    let server = ServerName::try_from(name).map_err(said)?;
    let builder = WebPkiServerVerifier::builder_with_provider(roots, provider).with_crls(crls);
    let verifier = builder.build().map_err(said)?;
    verifier.verify_server_cert(cert, between, &server, &[], now).map_err(said)?;
    Ok(format!("a client that trusts the authority accepts this server as {name}"))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
