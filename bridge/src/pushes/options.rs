//! What a push is to be. Data only.

use std::path::PathBuf;
use std::time::Duration;

use tidewire_proto::topic::TopicFilter;

use crate::bridges::{Retry, Start};
use crate::client::TlsFiles;

/// What a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Messages in an array.
    #[default]
    Array,
    /// One message.
    Object,
}

/// What a push is to be.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// Where to: `http://` or `https://`.
    pub url: String,
    /// Authorities that are believed, and what we show ourselves by.
    pub tls: TlsFiles,
    /// The streams that it reads; none: all.
    pub streams: Vec<String>,
    /// The topics that it reads; none: all records.
    pub filters: Vec<TopicFilter>,
    /// Where it begins if it was never there before.
    pub start: Start,
    /// What a request carries.
    pub form: Form,
    /// Messages of one request.
    pub messages_max: usize,
    /// Bytes of one request; a message that is larger goes alone.
    pub request_bytes_max: usize,
    /// How long it is waited for more messages.
    pub linger: Duration,
    /// How long connecting, sending and the answer may take together.
    pub timeout: Duration,
    /// How it is tried again.
    pub retry: Retry,
    /// So often the receiver may fail at one message before that is given up; 0: for ever.
    pub tries_max: u32,
    /// The longest that the receiver may have us wait.
    pub retry_after_max: Duration,
    /// A file whose first line signs what is sent.
    pub secret_file: Option<PathBuf>,
    /// A file whose first line is the header `Authorization`.
    pub authorization_file: Option<PathBuf>,
    /// Where messages go that are given up; without, they are counted and logged alone.
    pub dead_letter_topic: Option<String>,
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::{Form, PushOptions};
    use crate::bridges::{Retry, Start};
    use crate::client::TlsFiles;

    /// A push of all that there is.
    pub(in crate::pushes) fn options(url: String) -> PushOptions {
        let soon = Duration::from_millis(20);
        PushOptions {
            url,
            tls: TlsFiles::default(),
            streams: Vec::new(),
            filters: Vec::new(),
            start: Start::Earliest,
            form: Form::Array,
            messages_max: 9,
            request_bytes_max: 1 << 20,
            linger: Duration::ZERO,
            // Only a test that fails waits for so long.
            timeout: Duration::from_secs(120),
            retry: Retry { min: soon, max: soon },
            tries_max: 0,
            retry_after_max: Duration::from_secs(1),
            secret_file: None,
            authorization_file: None,
            dead_letter_topic: None,
        }
    }
}
