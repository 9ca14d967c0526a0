//! What can be asked of a bridge while it runs, and what may come of it. Plain data.

/// Where a bridge is to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// At the first record that is still there.
    Earliest,
    /// Behind the last record that is there now.
    Latest,
    /// At the first record that is not older, in milliseconds since 1970.
    Time(i64),
    /// At an offset of one partition; in the others it goes on where it is.
    Offset {
        /// The stream.
        stream: String,
        /// The partition, by its index in the stream.
        partition: u32,
        /// The offset.
        offset: u64,
    },
}

/// An order to a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To rest; what it has not read is held. Stays so over restarts.
    Pause,
    /// To rest, and let go of what it has not read. Stays so over restarts.
    Stop,
    /// To run, and at once if it waits.
    Start,
    /// To read on elsewhere.
    Rewind(To),
    /// To pass over so many records of one partition.
    Skip {
        /// The stream.
        stream: String,
        /// The partition, by its index in the stream.
        partition: u32,
        /// How many.
        records: u64,
    },
    /// To try the other side without moving a message.
    Test,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is none.
    #[error("there is no bridge {0:?}")]
    Unknown(String),
    /// Its kind reads nothing from the log.
    #[error("bridge {0:?} reads nothing from the log")]
    NoCursor(String),
    /// There is none.
    #[error("there is no partition {partition} of a stream {stream:?} that the bridge reads")]
    NoPartition {
        /// The stream.
        stream: String,
        /// The partition.
        partition: u32,
    },
    /// The position could not be read or stored.
    #[error("the store refused: {0}")]
    Store(String),
    /// A test failed.
    #[error("{0}")]
    Test(String),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Closed,
}
