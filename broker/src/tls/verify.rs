//! Judges certificates of clients: the chain as the library does, then whether it says who the
//! client is, while the handshake can still be refused.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use super::names::identity;
use crate::config::TlsIdentity;

/// The library's verifier, and a look at the name.
#[derive(Debug)]
pub(super) struct Naming {
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    pub(super) rule: TlsIdentity,
}

/// Why a certificate names nobody.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Nameless(String);

impl ClientCertVerifier for Naming {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now);
        let verified = verified.map_err(|error| match error {
            // An authority of the same name as one of ours, and not ours.
            Error::InvalidCertificate(CertificateError::BadSignature) => {
                Error::InvalidCertificate(CertificateError::UnknownIssuer)
            }
            other => other,
        })?;
        match identity(end_entity, self.rule) {
            Ok(_) => Ok(verified),
            Err(reason) => {
                let reason = OtherError(Arc::new(Nameless(reason)));
                Err(Error::InvalidCertificate(CertificateError::Other(reason)))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
