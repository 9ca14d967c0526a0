//! Why the broker could not start, stop, or do what the program around it asked for. Says what
//! was being done and what to change; decides nothing.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tidewire_bridge::PortError;
use tidewire_proto::mqtt::{EncodeError, ReasonCode};
use tidewire_store::{CloseError, CommitError, OpenError, ReadError, StreamError};

use crate::access_file::AccessFileError;
use crate::config::ConfigErrors;
use crate::hook::HookError;
use crate::http::tokens::TokenFileError;
use crate::http_client::HttpClientError;
use crate::jwt::KeyFileError;
use crate::passwords::PasswordFileError;
use crate::tls::TlsError;
use crate::users::UsersFileError;

/// Why the broker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Nobody said where to keep messages.
    #[error("no data folder: name one with `data_folder`, or ask for `temporary_data`")]
    NoDataFolder,
    /// The data folder cannot be used.
    #[error("the data folder {} cannot be opened", .0.display())]
    Store(PathBuf, #[source] OpenError),
    /// What the data folder holds cannot be read.
    #[error("the tables of the data folder cannot be read")]
    Tables(#[source] ReadError),
    /// The file of users cannot be used.
    #[error("the users of SCRAM-SHA-256 cannot be read")]
    Users(#[source] UsersFileError),
    /// The file of passwords cannot be used.
    #[error("the password file cannot be used")]
    Passwords(#[source] PasswordFileError),
    /// Keys of tokens cannot be used.
    #[error("the keys of tokens (auth.jwt) cannot be used")]
    TokenKeys(#[source] KeyFileError),
    /// Keys of tokens cannot be fetched.
    #[error("auth.jwt.jwks_ca_file cannot be used")]
    TokenSource(#[source] HttpClientError),
    /// The HTTP hook cannot be asked.
    #[error("the HTTP hook (auth.http) cannot be asked")]
    Hook(#[source] HookError),
    /// The tokens of the HTTP port cannot be used.
    #[error("the tokens of the HTTP port (listener.http.token_file) cannot be used")]
    HttpTokens(#[source] TokenFileError),
    /// The access rules cannot be used.
    #[error("the access rules cannot be used")]
    Access(#[source] AccessFileError),
    /// Certificates, keys or lists of a listener cannot be used.
    #[error("the listener {0} cannot speak TLS")]
    Tls(&'static str, #[source] TlsError),
    /// A stream cannot be what the configuration says.
    #[error("stream {0:?} cannot be changed to what the configuration says")]
    Stream(String, #[source] StreamError),
    /// A port is taken or may not be used.
    #[error("cannot listen on {0} for {1}; is another broker running? Try {2} with another port")]
    Bind(SocketAddr, &'static str, &'static str, #[source] io::Error),
    /// A listener beyond this machine, and nobody could come in there.
    #[error(
        "listener.{0}.bind = {1} is beyond this machine, and nobody could come in there: name who \
         may (auth.password_file; tidewire passwd makes one), or let everybody in with \
         listener.{0}.anonymous = \"allow\""
    )]
    ClosedDoor(&'static str, SocketAddr),
    /// It cannot become the user that it is to run as.
    #[error("cannot run as {0} (system.run_as)")]
    RunAs(String, #[source] io::Error),
    /// The socket file cannot be made.
    #[error("cannot listen at the socket file {}; see listener.unix.path", .0.display())]
    SocketFile(PathBuf, #[source] io::Error),
    /// The Kafka port cannot be opened.
    #[error("the Kafka port cannot be opened")]
    Kafka(#[source] PortError),
    /// The system refuses threads, handles, a folder or signals.
    #[error("the system refuses {0}")]
    System(&'static str, #[source] io::Error),
}

/// Why a broker did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The last writes could not be finished.
    #[error("the data folder could not be closed cleanly; what was acknowledged is safe")]
    Close(#[source] CloseError),
    /// A part of the broker panicked. What was acknowledged is safe.
    #[error("a part of the broker ended in a panic; what was acknowledged is safe")]
    Panicked,
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It is no valid message: a wildcard in the topic, a property that is too long.
    #[error("the message is not valid")]
    Invalid(#[from] EncodeError),
    /// It is larger than `mqtt.packet_bytes_max`.
    #[error("the message is a packet of {bytes} bytes; mqtt.packet_bytes_max is {bytes_max}")]
    TooLarge {
        /// Its size as a packet.
        bytes: usize,
        /// The limit.
        bytes_max: u32,
    },
    /// The broker refuses it, with the reason that any client would get.
    #[error("the broker refused the message: {}", words(*.0))]
    Refused(ReasonCode),
    /// The broker stopped, or closed the connection, before it answered: the message may be stored.
    #[error("the broker stopped before it answered; the message may be stored")]
    Stopped,
}

/// Why a subscription could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// A filter or a name is not valid.
    #[error("the subscription is not valid")]
    Invalid(#[from] EncodeError),
    /// The broker refuses the session or a filter.
    #[error("the broker refused {what:?}: {}", words(*.reason))]
    Refused {
        /// The filter, or the client id of the session.
        what: String,
        /// What any client would hear.
        reason: ReasonCode,
    },
    /// The broker stopped before it answered.
    #[error("the broker stopped before it answered")]
    Stopped,
}

/// Why an order to the broker was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It could not be made durable, and is not in force.
    #[error("it could not be made durable")]
    Commit(#[from] CommitError),
    /// The tables of the data folder cannot be read.
    #[error("the tables of the data folder cannot be read")]
    Tables(#[from] ReadError),
    /// The broker stopped before it answered.
    #[error("the broker stopped before it answered")]
    Stopped,
}

fn words(reason: ReasonCode) -> String {
    match reason.name() {
        Some(words) => words.into(),
        None => format!("reason 0x{:02x}", reason.0),
    }
}
