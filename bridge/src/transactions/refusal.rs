//! Why a transaction says no, and which of Kafka's numbers lets clients do what is right then.
//! docs/decisions/0013-transactions.md says what they do.

use kafka_protocol::ResponseError;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What was asked makes no sense.
    #[error("the request is not valid")]
    InvalidRequest,
    /// A transaction may not take so long, or no time.
    #[error("transaction.timeout.ms is outside of what is allowed")]
    Timeout,
    /// There are as many transactional ids as there may be.
    #[error("there are as many transactional ids as there may be")]
    Full,
    /// Nobody with that number has the transactional id.
    #[error("the producer id is not that of the transactional id")]
    Unknown,
    /// Another producer has the transactional id now.
    #[error("another producer has the transactional id now")]
    Fenced,
    /// Something of this transactional id is on its way to the disk: ask again.
    #[error("the transactional id is busy")]
    Busy,
    /// What was to be stored is not: ask again.
    #[error("nothing can be stored now")]
    NotStored,
    /// The transaction is gone: its time is over, or the broker restarted.
    #[error("the transaction is gone: its time was over, or the broker was restarted")]
    Lost,
    /// A batch of the transaction was refused with this before, and its producer does not send it
    /// again: without it nothing of the transaction may be there.
    #[error("something of the transaction was refused before, and all of it with that: {0}")]
    Doomed(ResponseError),
    /// There is no transaction that this could belong to.
    #[error("there is no transaction, or it has nothing to do with that")]
    NotOpen,
    /// The transaction holds as much as one may.
    #[error("the transaction is larger than transactions.bytes_max")]
    TooLarge,
    /// All transactions together hold as much as they may: try again.
    #[error("all transactions together are larger than transactions.all_bytes_max")]
    NoRoom,
}

/// Which of Kafka's newer numbers the version of a request knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knows {
    /// PRODUCER_FENCED.
    pub fenced: bool,
    /// TRANSACTION_ABORTABLE.
    pub abortable: bool,
}

impl Refusal {
    /// For those that open, extend and end transactions.
    #[must_use]
    pub fn to_coordinator(self, knows: Knows) -> ResponseError {
        match self {
            Self::InvalidRequest => ResponseError::InvalidRequest,
            Self::Timeout => ResponseError::InvalidTransactionTimeout,
            Self::Full => ResponseError::PolicyViolation,
            Self::Unknown => ResponseError::InvalidProducerIdMapping,
            Self::Fenced if knows.fenced => ResponseError::ProducerFenced,
            Self::Fenced => ResponseError::InvalidProducerEpoch,
            Self::Busy => ResponseError::ConcurrentTransactions,
            Self::NotStored | Self::NoRoom => ResponseError::CoordinatorNotAvailable,
            Self::Lost | Self::Doomed(_) if knows.abortable => ResponseError::TransactionAbortable,
            Self::Lost | Self::Doomed(_) => ResponseError::UnknownProducerId,
            Self::NotOpen => ResponseError::InvalidTxnState,
            Self::TooLarge => ResponseError::RecordListTooLarge,
        }
    }

    /// For Produce.
    #[must_use]
    pub fn to_produce(self) -> ResponseError {
        match self {
            Self::Fenced => ResponseError::InvalidProducerEpoch,
            Self::TooLarge => ResponseError::RecordListTooLarge,
            Self::NoRoom => ResponseError::KafkaStorageError,
            Self::Doomed(error) => error,
            _ => ResponseError::InvalidTxnState,
        }
    }

    /// For offsets that are to be in the transaction. Where a version does not know
    /// TRANSACTION_ABORTABLE, the Java client takes nothing but what is said of a member for a
    /// reason to abort and go on.
    #[must_use]
    pub fn to_offsets(self, knows: Knows) -> ResponseError {
        match self {
            Self::Fenced => ResponseError::InvalidProducerEpoch,
            Self::Unknown => ResponseError::InvalidProducerIdMapping,
            Self::Busy => ResponseError::CoordinatorLoadInProgress,
            Self::NotStored | Self::NoRoom => ResponseError::CoordinatorNotAvailable,
            _ if knows.abortable => ResponseError::TransactionAbortable,
            _ => ResponseError::UnknownMemberId,
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::ResponseError;

    use super::{Knows, Refusal};

    #[test]
    fn who_lost_a_transaction_hears_what_lets_his_client_abort_and_go_on() {
        let old = Knows { fenced: false, abortable: false };
        let new = Knows { fenced: true, abortable: true };
        let why = ResponseError::RecordListTooLarge;
        for (lost, to_produce) in
            [(Refusal::Lost, ResponseError::InvalidTxnState), (Refusal::Doomed(why), why)]
        {
            assert_eq!(lost.to_coordinator(old), ResponseError::UnknownProducerId);
            assert_eq!(lost.to_coordinator(new), ResponseError::TransactionAbortable);
            assert_eq!(lost.to_produce(), to_produce);
            assert_eq!(lost.to_offsets(old), ResponseError::UnknownMemberId);
            assert_eq!(lost.to_offsets(new), ResponseError::TransactionAbortable);
        }
    }

    #[test]
    fn who_is_fenced_hears_it_in_the_words_that_his_version_knows() {
        let knows = |fenced| Knows { fenced, abortable: false };
        let fenced = Refusal::Fenced;
        assert_eq!(fenced.to_coordinator(knows(false)), ResponseError::InvalidProducerEpoch);
        assert_eq!(fenced.to_coordinator(knows(true)), ResponseError::ProducerFenced);
        assert_eq!(fenced.to_produce(), ResponseError::InvalidProducerEpoch);
    }
}
