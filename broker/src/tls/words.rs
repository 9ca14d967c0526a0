//! Why a handshake failed, as a word to count and as a sentence for who runs the broker.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::metrics::TlsResult;

/// What a client sends first that takes the port for another.
const FIRST_OF_MQTT: u8 = 0x10;

/// The word and the sentence. `first` is the first byte that the client sent.
pub(super) fn explain(error: &Error, first: Option<u8>) -> (TlsResult, String) {
    match error {
        Error::InvalidMessage(problem) if first != Some(0x16) => not_tls(problem, first),
        Error::NoCertificatesPresented => {
            let words = "it showed no certificate, and this listener asks for one";
            (TlsResult::NoCertificate, words.into())
        }
        Error::InvalidCertificate(problem) => certificate(problem),
        Error::AlertReceived(alert) => refused_us(*alert),
        Error::PeerIncompatible(problem) => incompatible(problem),
        Error::NoApplicationProtocol => {
            let words = "it asks for a protocol (ALPN) that is not spoken here";
            (TlsResult::Protocol, words.into())
        }
        Error::PeerMisbehaved(problem) => {
            (TlsResult::Malformed, format!("it broke the rules of TLS: {problem:?}"))
        }
        Error::InvalidMessage(problem) => {
            (TlsResult::Malformed, format!("it sent what is no message of TLS: {problem:?}"))
        }
        other => (TlsResult::Malformed, format!("the handshake failed: {other}")),
    }
}

fn not_tls(problem: &InvalidMessage, first: Option<u8>) -> (TlsResult, String) {
    let words = match first {
        Some(FIRST_OF_MQTT) => "it speaks MQTT without TLS; this port is for TLS",
        Some(b'G' | b'P' | b'H' | b'O') => "it speaks HTTP without TLS; this port is for TLS",
        Some(0x00) => "it does not speak TLS (Kafka without it, perhaps); this port is for TLS",
        _ => return (TlsResult::NotTls, format!("it does not speak TLS ({problem:?})")),
    };
    (TlsResult::NotTls, words.into())
}

fn certificate(problem: &CertificateError) -> (TlsResult, String) {
    let (result, words) = match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            (TlsResult::Expired, "its certificate has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (TlsResult::Expired, "its certificate is not valid yet; are the clocks right?")
        }
        CertificateError::Revoked => (TlsResult::Revoked, "its certificate was revoked"),
        CertificateError::UnknownRevocationStatus => {
            let words = "no list of revoked certificates (crl_files) is of the authority that \
                         signed its certificate, or one between that and the root";
            (TlsResult::Revoked, words)
        }
        CertificateError::UnknownIssuer => {
            let words = "its certificate was not signed by an authority of `client_ca_file`";
            (TlsResult::UnknownAuthority, words)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            (TlsResult::BadCertificate, "its certificate is not for clients (extended key usage)")
        }
        CertificateError::Other(reason) => {
            let words = format!("its certificate does not say who it is: {reason}");
            return (TlsResult::Identity, words);
        }
        other => {
            return (TlsResult::BadCertificate, format!("its certificate cannot be used: {other}"));
        }
    };
    (result, words.into())
}

fn refused_us(alert: AlertDescription) -> (TlsResult, String) {
    let words = match alert {
        AlertDescription::UnknownCA => "it does not know the authority of our certificate",
        AlertDescription::CertificateExpired => "it finds that our certificate has expired",
        AlertDescription::BadCertificate => {
            "it does not accept our certificate: is the name that it connects to in it?"
        }
        // What browsers say, whatever their reason is.
        AlertDescription::CertificateUnknown => {
            "it does not accept our certificate: does it know our authority, and is the name that \
             it connects to in it?"
        }
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            return (TlsResult::Version, format!("it finds nothing in common with us ({alert:?})"));
        }
        _ => return (TlsResult::Distrusted, format!("it broke off: {alert:?}")),
    };
    (TlsResult::Distrusted, words.into())
}

fn incompatible(problem: &PeerIncompatible) -> (TlsResult, String) {
    match problem {
        PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            let words = "it offers only versions of TLS that are too old (version_min)";
            (TlsResult::Version, words.into())
        }
        other => (TlsResult::Version, format!("nothing in common: {other:?}")),
    }
}
