//! Files that a client shows itself by, and by which it knows the other side: read anew for each
//! connection, since they may have changed. Keeps nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::client::fault::Fault;

/// Where systems keep the authorities that they believe.
const OF_THE_SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The files of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities that are believed; without, those of the system.
    pub authorities: Option<PathBuf>,
    /// Our certificate and its key.
    pub shown: Option<(PathBuf, PathBuf)>,
}

/// What a handshake needs.
pub(crate) fn client_config(files: &TlsFiles) -> Result<Arc<ClientConfig>, Fault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(other)?;
    let builder = builder.with_root_certificates(authorities(files.authorities.as_deref())?);
    let Some((certificate, key)) = &files.shown else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let of_key = |error| Fault::Other(format!("{} holds no key: {error}", key.display()));
    let shown = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(of_key)?;
    let config = builder.with_client_auth_cert(certificates(certificate)?, shown);
    let wrong = |error| Fault::Other(format!("{}: {error}", certificate.display()));
    config.map(Arc::new).map_err(wrong)
}

/// The first line of a file.
pub(crate) fn first_line(file: &Path) -> Result<String, Fault> {
    let text = String::from_utf8_lossy(&read(file)?).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, Fault> {
    let mut store = RootCertStore::empty();
    let file = match file {
        Some(file) => file,
        None => {
            let found = OF_THE_SYSTEM.iter().map(Path::new).find(|file| file.exists());
            found.ok_or_else(|| other("the system names no authorities: name a ca_file"))?
        }
    };
    let (added, _) = store.add_parsable_certificates(certificates(file)?);
    if added == 0 {
        return Err(other(format!("{} holds no authority", file.display())));
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(other(format!("{} holds no certificate", file.display()))),
        Err(error) => Err(other(format!("{} holds no certificate: {error}", file.display()))),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(file).map_err(|error| other(format!("{} cannot be read: {error}", file.display())))
}

fn other(words: impl ToString) -> Fault {
    Fault::Other(words.to_string())
}

#[cfg(test)]
mod tests {
    use super::{TlsFiles, client_config, first_line};

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let files = TlsFiles { authorities: Some(file.clone()), shown: None };
        let words = |files: &TlsFiles| client_config(files).unwrap_err().to_string();
        assert!(words(&files).contains("ca.pem cannot be read"));
        std::fs::write(&file, "nothing").unwrap();
        assert!(words(&files).contains("ca.pem holds no certificate"));
        std::fs::write(&file, "secret\nmore").unwrap();
        assert_eq!(first_line(&file).unwrap(), "secret");
    }
}
