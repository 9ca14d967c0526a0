//! Why a token is not taken. Never holds any of the token.

use crate::metrics::TokenFault;

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the token is not of the form HEAD.CLAIMS.SIGNATURE")]
    Form,
    #[error("the token is signed in a way that is not allowed here (its `alg`)")]
    Algorithm,
    #[error("the token asks for what the broker does not have (its `crit`)")]
    Critical,
    #[error("no key is known by the name that the token gives (its `kid`)")]
    UnknownKey,
    #[error("the signature of the token is wrong")]
    Signature,
    #[error("the token has expired (`exp`)")]
    Expired,
    #[error("the token does not say when it expires (`exp`)")]
    NoExpiry,
    #[error("the token does not hold yet (`nbf`)")]
    Early,
    #[error("the token is from somebody else (`iss`)")]
    Issuer,
    #[error("the token is for somebody else (`aud`)")]
    Audience,
    #[error("the claim {0:?} of the token is missing, or not of its form")]
    Claim(Box<str>),
    #[error("the token is for another user name than CONNECT names")]
    UserName,
    #[error("the token is for another client id")]
    ClientId,
}

impl Fault {
    /// What it is counted as.
    pub(crate) const fn label(&self) -> TokenFault {
        match self {
            Self::Form | Self::Critical => TokenFault::Form,
            Self::Algorithm => TokenFault::Algorithm,
            Self::UnknownKey => TokenFault::Key,
            Self::Signature => TokenFault::Signature,
            Self::Expired | Self::NoExpiry => TokenFault::Expired,
            Self::Early => TokenFault::Early,
            Self::Issuer => TokenFault::Issuer,
            Self::Audience => TokenFault::Audience,
            Self::Claim(_) => TokenFault::Claim,
            Self::UserName => TokenFault::UserName,
            Self::ClientId => TokenFault::ClientId,
        }
    }
}
