//! The door to whoever counts retained messages. Counts nothing itself.

use tidewire_proto::record::Batch;

/// Is told whether the commit of a claim became durable.
pub type Settle = Box<dyn FnOnce(bool) + Send>;

/// Knows how many retained messages there are, and how many there may be.
pub trait RetainedLimit: Send + Sync {
    /// A message, in the form in which it is kept, is to be kept for this topic; without one, what
    /// is kept is to go. `None` when there is no room for it.
    /// Claims that are made so are committed in their order.
    fn claim(&self, topic: &str, kept: Option<&Batch>) -> Option<Settle>;

    /// The same for a commit that comes at any time, also behind commits whose claims are newer.
    /// Who does not count by the order of claims need not tell the two apart.
    fn claim_ahead(&self, topic: &str, kept: Option<&Batch>) -> Option<Settle> {
        self.claim(topic, kept)
    }
}
