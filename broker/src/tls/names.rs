//! What a certificate says: whose it is, for which names, until when. Trusts nothing of it.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::config::TlsIdentity;

/// Length of a user name that a certificate may give, in bytes.
const IDENTITY_BYTES_MAX: usize = 256;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) serial: Vec<u8>,
    /// DNS names and addresses that it is for.
    pub(crate) names: Vec<String>,
    /// E-mail addresses and URIs.
    pub(crate) others: Vec<String>,
    pub(crate) is_authority: bool,
    /// In seconds of the Unix epoch.
    pub(crate) not_before_s: i64,
    pub(crate) not_after_s: i64,
    /// The same, as text.
    pub(crate) validity: String,
}

impl Facts {
    /// Reads a certificate.
    pub(crate) fn of(der: &[u8]) -> Result<Self, String> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let mut names = Vec::new();
        let mut others = Vec::new();
        for name in alternative_names(&cert) {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                GeneralName::RFC822Name(name) => others.push(format!("email:{name}")),
                GeneralName::URI(name) => others.push(format!("uri:{name}")),
                _ => (),
            }
        }
        let validity = cert.validity();
        Ok(Self {
            subject: cert.subject().to_string(),
            issuer: cert.issuer().to_string(),
            serial: cert.raw_serial().to_vec(),
            names,
            others,
            is_authority: cert.is_ca(),
            not_before_s: validity.not_before.timestamp(),
            not_after_s: validity.not_after.timestamp(),
            validity: format!("{} to {}", validity.not_before, validity.not_after),
        })
    }
}

/// What a list of revoked certificates says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RevocationFacts {
    pub(crate) issuer: String,
    /// By their serial numbers.
    pub(crate) revoked: Vec<Vec<u8>>,
    /// When a newer one is due, in seconds of the Unix epoch.
    pub(crate) next_update_s: Option<i64>,
    /// The same, as text.
    pub(crate) validity: String,
}

impl RevocationFacts {
    /// Reads a list.
    pub(crate) fn of(der: &[u8]) -> Result<Self, String> {
        let (_, list) =
            CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
        let revoked = list.iter_revoked_certificates();
        let until = list.next_update().map_or("another is made".into(), |time| time.to_string());
        Ok(Self {
            issuer: list.issuer().to_string(),
            revoked: revoked.map(|revoked| revoked.raw_serial().to_vec()).collect(),
            next_update_s: list.next_update().map(|time| time.timestamp()),
            validity: format!("{} until {until}", list.last_update()),
        })
    }
}

/// Who a client is by its certificate; in words, why it is nobody.
pub(crate) fn identity(der: &[u8], rule: TlsIdentity) -> Result<Option<Box<str>>, String> {
    let (_, cert) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let what = match rule {
        TlsIdentity::None => return Ok(None),
        TlsIdentity::Cn => "common name",
        TlsIdentity::SanDns => "DNS name",
        TlsIdentity::SanEmail => "e-mail address",
        TlsIdentity::SanUri => "URI",
    };
    let name = match rule {
        TlsIdentity::Cn => {
            let mut names = cert.subject().iter_common_name();
            match (names.next(), names.next()) {
                (Some(name), None) => name.as_str().ok(),
                (Some(_), Some(_)) => return Err("it has more than one common name".into()),
                (None, _) => None,
            }
        }
        _ => alternative_names(&cert).find_map(|name| wanted(name, rule)),
    };
    match name {
        Some(name) if is_sayable(name) => Ok(Some(name.into())),
        Some(_) => Err(format!("its {what} cannot be a user name")),
        None => Err(format!("it has no {what} that could be a user name")),
    }
}

fn wanted<'n>(name: &GeneralName<'n>, rule: TlsIdentity) -> Option<&'n str> {
    match (name, rule) {
        (GeneralName::DNSName(name), TlsIdentity::SanDns)
        | (GeneralName::RFC822Name(name), TlsIdentity::SanEmail)
        | (GeneralName::URI(name), TlsIdentity::SanUri) => Some(name),
        _ => None,
    }
}

/// A name with a wildcard or a level in it could stand for others where a pattern holds `%u`; a
/// URI has slashes by its nature.
fn is_sayable(name: &str) -> bool {
    let is_bad = |c: char| c.is_control() || matches!(c, '+' | '#');
    (1..=IDENTITY_BYTES_MAX).contains(&name.len()) && !name.contains(is_bad)
}

fn alternative_names<'c>(
    cert: &'c X509Certificate<'_>,
) -> impl Iterator<Item = &'c GeneralName<'c>> {
    let extension = cert.subject_alternative_name().ok().flatten();
    extension.into_iter().flat_map(|extension| extension.value.general_names.iter())
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::{Facts, identity};
    use crate::config::TlsIdentity;

    fn made(cn: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params =
            CertificateParams::new(vec!["a.example".into(), "10.0.0.7".into()]).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in cn {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn a_certificate_says_its_names_and_dates() {
        let facts = Facts::of(&made(&["dev-1"], |_| ())).expect("a certificate");
        assert_eq!(facts.names, ["a.example", "10.0.0.7"]);
        assert_eq!(facts.subject, "CN=dev-1");
        assert!(facts.not_before_s < facts.not_after_s && !facts.is_authority);
        assert!(Facts::of(b"no certificate").is_err());
    }

    #[test]
    fn an_identity_is_one_name_that_can_be_said() {
        #[track_caller]
        fn check(der: &[u8], rule: TlsIdentity, expected: Result<Option<&str>, &str>) {
            let found = identity(der, rule);
            let found = found.as_ref().map(Option::as_deref).map_err(String::as_str);
            assert_eq!(found, expected);
        }
        let plain = made(&["dev-1"], |_| ());
        check(&plain, TlsIdentity::None, Ok(None));
        check(&plain, TlsIdentity::Cn, Ok(Some("dev-1")));
        check(&plain, TlsIdentity::SanDns, Ok(Some("a.example")));
        let no_uri = Err("it has no URI that could be a user name");
        check(&plain, TlsIdentity::SanUri, no_uri);
        let wild = Err("its common name cannot be a user name");
        check(&made(&["a/#"], |_| ()), TlsIdentity::Cn, wild);
        check(&made(&["nul\0"], |_| ()), TlsIdentity::Cn, wild);
        let none = Err("it has no common name that could be a user name");
        check(&made(&[], |_| ()), TlsIdentity::Cn, none);
        let uri = made(&["x"], |params| {
            let name = "spiffe://plant/press-7".try_into().expect("ascii");
            params.subject_alt_names.push(SanType::URI(name));
        });
        check(&uri, TlsIdentity::SanUri, Ok(Some("spiffe://plant/press-7")));
    }
}
