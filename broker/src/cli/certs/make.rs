//! Makes authorities, certificates and lists of the revoked. Judges none.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};

use super::folder::{self, Files};
use crate::tls;

/// How long an authority is good for, if nothing else is asked, in days.
pub(super) const CA_DAYS: u16 = 3650;
const DAY: Duration = Duration::from_secs(86_400);

/// What is printed, and that all is well.
type Made = Result<(String, bool), String>;

pub(super) fn authority(dir: &Path, name: Option<&str>, days: u16) -> Made {
    folder::make(dir)?;
    let files = Files::named(dir, "ca");
    let key = KeyPair::generate().map_err(said)?;
    // No two have one name: who trusts one could take the other for it, and wonder.
    let mark: String =
        key.public_key_raw().iter().rev().take(3).map(|b| format!("{b:02x}")).collect();
    let own = format!("Tidewire authority for trying out, {mark}");
    let mut params = params(Vec::new(), name.unwrap_or(&own), days)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let cert = params.self_signed(&key).map_err(said)?;
    files.write(&cert.pem(), &key.serialize_pem())?;
    Ok((told("authority", &files), true))
}

pub(super) fn server(dir: &Path, names: &[String], days: u16) -> Made {
    let name = names.first().ok_or("a server needs a name")?;
    signed(dir, (names.to_vec(), name), ExtendedKeyUsagePurpose::ServerAuth, days)
}

pub(super) fn client(dir: &Path, name: &str, days: u16) -> Made {
    signed(dir, (Vec::new(), name), ExtendedKeyUsagePurpose::ClientAuth, days)
}

pub(super) fn revoke(dir: &Path, certs: &[PathBuf], days: u16, dry_run: bool) -> Made {
    // Another run may be adding to the list: none that was revoked is to be lost.
    let _alone = folder::lock(dir)?;
    let issuer = issuer(dir)?;
    let list = dir.join(folder::LIST);
    let mut serials: Vec<Vec<u8>> = match list.exists() {
        true => revoked(&list)?,
        false => Vec::new(),
    };
    let before = serials.len();
    let ca = first_facts(&Files::named(dir, "ca").cert)?;
    for cert in certs {
        let facts = first_facts(cert)?;
        if facts.issuer != ca.subject {
            return Err(format!("{} was not signed by this authority", cert.display()));
        }
        if !serials.contains(&facts.serial) {
            serials.push(facts.serial);
        }
    }
    let (count, more) = (serials.len(), serials.len() - before);
    if dry_run {
        let words = format!("{more} more, {count} then, for {days} days; nothing is written");
        return Ok((format!("would be  {} ({words})", list.display()), true));
    }
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let revoked = |serial: &Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: now.into(),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: now.into(),
        next_update: (now + DAY * u32::from(days)).into(),
        crl_number: since.as_secs().into(),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let signed = params.signed_by(&issuer).and_then(|list| list.pem()).map_err(said)?;
    folder::replace(&list, &signed)?;
    Ok((format!("list      {} ({count} revoked, for {days} days)", list.display()), true))
}

fn signed(
    dir: &Path,
    (names, common): (Vec<String>, &str),
    purpose: ExtendedKeyUsagePurpose,
    days: u16,
) -> Made {
    let mut text = String::new();
    if !Files::named(dir, "ca").cert.exists() {
        let (told, _) = authority(dir, None, CA_DAYS)?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{told}");
    }
    let issuer = issuer(dir)?;
    let files = Files::named(dir, common);
    let what = match purpose {
        ExtendedKeyUsagePurpose::ServerAuth => "server",
        _ => "client",
    };
    let mut params = params(names, common, days)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(said)?;
    let cert = params.signed_by(&key, &issuer).map_err(said)?;
    files.write(&cert.pem(), &key.serialize_pem())?;
    let _ = write!(text, "{}", told(what, &files));
    Ok((text, true))
}

/// A certificate of this name, good from yesterday: clocks differ.
fn params(names: Vec<String>, common: &str, days: u16) -> Result<CertificateParams, String> {
    if common.is_empty() {
        return Err("a name has at least one character".into());
    }
    let mut params = CertificateParams::new(names).map_err(said)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * u32::from(days)).into();
    Ok(params)
}

fn issuer(dir: &Path) -> Result<Issuer<'static, KeyPair>, String> {
    let Files { cert, key } = Files::named(dir, "ca");
    let key = KeyPair::from_pem(&folder::read(&key)?).map_err(said)?;
    Issuer::from_ca_cert_pem(&folder::read(&cert)?, key).map_err(said)
}

fn first_facts(path: &Path) -> Result<tls::Facts, String> {
    let certs = tls::certificates(path).map_err(said)?;
    let first = certs.first().ok_or_else(|| format!("{} holds nothing", path.display()))?;
    tls::Facts::of(first)
}

fn revoked(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let mut serials = Vec::new();
    for list in tls::revocations(path).map_err(said)? {
        serials.extend(tls::RevocationFacts::of(&list)?.revoked);
    }
    Ok(serials)
}

fn told(what: &str, files: &Files) -> String {
    let Files { cert, key } = files;
    format!("{what:<9} {}\n{:<9} {}", cert.display(), "its key", key.display())
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
