//! Why a call to somebody else's Kafka came to nothing, in words that say what to look at.

use std::io;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

use crate::guard::GuardError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{address} cannot be reached: {error}")]
    Unreachable { address: String, error: io::Error },
    #[error("{address} does not answer within {seconds} s")]
    Silent { address: String, seconds: u64 },
    #[error("TLS with {address}: {error}")]
    Secret { address: String, error: io::Error },
    #[error("the connection to {address} was lost: {error}")]
    Lost { address: String, error: io::Error },
    #[error("{address} says what is not Kafka's protocol: {what}")]
    Malformed { address: String, what: String },
    #[error("{address} does not know {api:?} in version {lowest} to {highest}")]
    Unsupported { address: String, api: ApiKey, lowest: i16, highest: i16 },
    #[error("{address} does not take {mechanism}; it takes {taken}")]
    Mechanism { address: String, mechanism: &'static str, taken: String },
    #[error("signing in at {address} as {user:?}: {what}")]
    SignIn { address: String, user: String, what: String },
    #[error("{what}: {}", said(*.code))]
    Refused { what: String, code: i16 },
    #[error("{0}")]
    Other(String),
}

impl Fault {
    /// A code that is not 0, about this.
    pub(crate) fn of(code: i16, what: impl FnOnce() -> String) -> Result<(), Self> {
        match code {
            0 => Ok(()),
            _ => Err(Self::Refused { what: what(), code }),
        }
    }

    /// The answer's bytes are not what they are to be.
    pub(crate) fn malformed(address: &str, what: impl ToString) -> Self {
        Self::Malformed { address: address.into(), what: what.to_string() }
    }

    pub(crate) fn guarded(address: &str, error: GuardError) -> Self {
        Self::malformed(address, error)
    }

    /// The code, if the other side refused.
    pub(crate) fn error(&self) -> Option<ResponseError> {
        match self {
            Self::Refused { code, .. } => ResponseError::try_from_code(*code),
            _ => None,
        }
    }

    /// Somebody else uses what is ours: to try again at once would throw him out in turn.
    pub(crate) fn is_fenced(&self) -> bool {
        matches!(
            self.error(),
            Some(ResponseError::ProducerFenced | ResponseError::InvalidProducerEpoch)
        )
    }

    /// What passes by itself and soon, as leaders move and coordinators load.
    pub(crate) fn is_passing(&self) -> bool {
        self.error().is_some_and(|error| error.is_retriable())
    }
}

/// What a code means, as users know it.
pub(crate) fn said(code: i16) -> String {
    let Some(error) = ResponseError::try_from_code(code) else {
        return format!("the remote refuses with the unknown code {code}");
    };
    let words = match error {
        ResponseError::UnknownTopicOrPartition => "there is no such topic or partition",
        ResponseError::MessageTooLarge | ResponseError::RecordListTooLarge => {
            "message too large for the remote (max.message.bytes of its topic)"
        }
        ResponseError::TopicAuthorizationFailed => "not authorised for the topic",
        ResponseError::GroupAuthorizationFailed => "not authorised for the group",
        ResponseError::ClusterAuthorizationFailed => "not authorised for the cluster",
        ResponseError::TransactionalIdAuthorizationFailed => {
            "not authorised for the transactional id"
        }
        ResponseError::SaslAuthenticationFailed => "wrong user name or password",
        ResponseError::KafkaStorageError => "the remote's disk fails or is full",
        ResponseError::CoordinatorNotAvailable => {
            "the remote has no coordinator, or it can store nothing now: its disk may be full"
        }
        ResponseError::ProducerFenced | ResponseError::InvalidProducerEpoch => {
            "another producer took the transactional id over"
        }
        ResponseError::InvalidTopicException => "no topic can have that name",
        ResponseError::InvalidRecord => "the remote takes no such record",
        ResponseError::PolicyViolation => "a policy of the remote forbids it",
        ResponseError::NotEnoughReplicas | ResponseError::NotEnoughReplicasAfterAppend => {
            "too few replicas are in sync (min.insync.replicas)"
        }
        other => return format!("{other} ({code})"),
    };
    format!("{words} ({code})")
}

#[cfg(test)]
mod tests {
    use super::{Fault, said};

    #[test]
    fn a_code_is_told_in_words_and_with_its_number() {
        assert!(said(29).contains("not authorised for the topic (29)"));
        assert!(said(10).contains("too large"));
        assert!(said(9999).contains("9999"));
        assert!(Fault::of(0, String::new).is_ok());
        let fault = Fault::of(3, || "metadata of t".into()).expect_err("a code");
        assert_eq!(fault.to_string(), "metadata of t: there is no such topic or partition (3)");
        assert!(fault.is_passing() && !fault.is_fenced());
    }
}
