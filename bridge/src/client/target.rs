//! Where somebody else's Kafka is, and who we are there. Data only.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tidewire_proto::scram::Method;

use crate::client::files::TlsFiles;

/// A cluster that we connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Brokers to ask first, host and port: any of them knows the others.
    pub addresses: Vec<(String, u16)>,
    /// What we call ourselves.
    pub client_id: String,
    /// How TLS is spoken, if it is.
    pub tls: Option<TlsFiles>,
    /// Who we are, if we say so.
    pub sign_in: Option<SignIn>,
    /// How long a connection may take to come up.
    pub connect: Duration,
    /// How long an answer may take.
    pub answer: Duration,
    /// The largest answer that is taken, in bytes.
    pub answer_bytes_max: usize,
}

/// How we show who we are.
#[derive(Clone)]
pub struct SignIn {
    /// By which mechanism.
    pub mechanism: Sasl,
    /// The user.
    pub user: String,
    /// A file whose first line is its password.
    pub password_file: PathBuf,
}

/// A mechanism of SASL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sasl {
    /// The password as it is: for TLS only.
    Plain,
    /// A proof of the password.
    Scram(Method),
}

impl Sasl {
    /// Its name in the protocol.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(method) => method.word(),
        }
    }
}

impl fmt::Debug for SignIn {
    /// Without the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {:?}", self.mechanism.word(), self.user)
    }
}
