//! `/api/v1/streams`: the parts of the log.

use tidewire_store::{Durability, OnLimit, Store, Stream};

use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Doing, Route, Verb, json, part};
use crate::http::shape::{Shaped, view};

view! {
    /// A partition of a stream.
    StreamPartition {
        /// Its number within the stream.
        partition: u32,
        /// The first offset that is there.
        first_offset: u64,
        /// The offset behind the last record.
        end_offset: u64,
        /// Records that are there.
        records: u64,
        /// What it holds, in bytes.
        bytes: u64,
        /// Whether it refuses messages, because its stream is full of what nobody has read.
        refuses: bool,
    }
}

view! {
    /// A stream: a part of the log, and a topic for Kafka clients.
    StreamInfo {
        /// Its name.
        name: String,
        /// What an acknowledgement promises: `disk`, `os` or `none`.
        durability: String,
        /// Older records go; null: never.
        retention_ms: Option<u64>,
        /// Beyond so many bytes the oldest records go; null: never.
        retention_bytes: Option<u64>,
        /// So many bytes are held for readers at most; null: any number.
        hold_bytes: Option<u64>,
        /// What happens then: `refuse` or `delete_oldest`.
        at_hold_limit: String,
        /// Whether only the newest record of each key is kept.
        compact: bool,
        /// What it holds, in bytes.
        bytes: u64,
        /// Records that are there.
        records: u64,
        /// Its partitions.
        partitions: Vec<StreamPartition>,
    }
}

view! {
    /// All streams.
    StreamList {
        /// In the order in which they were made.
        items: Vec<StreamInfo>,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/streams",
        role: Some(Role::Viewer),
        name: "listStreams",
        about: "All streams with their partitions.",
        params: &[],
        body: None,
        answers: Answers::Json(StreamList::shape),
        run: |call| -> Doing {
            Box::pin(async move {
                let store = &call.site.inside()?.shared.store;
                json(&StreamList {
                    items: store.streams().iter().map(|it| of(store, it)).collect(),
                })
            })
        },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/streams/{stream}",
        role: Some(Role::Viewer),
        name: "getStream",
        about: "One stream with its partitions.",
        params: &[part("stream", "Its name.")],
        body: None,
        answers: Answers::Json(StreamInfo::shape),
        run: |call| -> Doing {
            Box::pin(async move {
                let (store, name) = (&call.site.inside()?.shared.store, call.part("stream"));
                let streams = store.streams();
                let stream = streams.iter().find(|stream| stream.name == name);
                let stream = stream.ok_or_else(|| Problem::unknown("stream", name))?;
                json(&of(store, stream))
            })
        },
    },
];

fn of(store: &Store, stream: &Stream) -> StreamInfo {
    let partition = |(index, id): (u32, &tidewire_proto::id::PartitionId)| {
        let (first_offset, end_offset) = store.bounds(*id).unwrap_or_default();
        StreamPartition {
            partition: index,
            first_offset,
            end_offset,
            records: end_offset.saturating_sub(first_offset),
            bytes: store.partition_bytes(*id),
            refuses: store.is_full(*id),
        }
    };
    let partitions: Vec<_> = (0..).zip(&stream.partitions).map(partition).collect();
    let config = &stream.config;
    StreamInfo {
        name: stream.name.clone(),
        durability: match config.durability {
            Durability::Disk => "disk",
            Durability::Os => "os",
            Durability::None => "none",
        }
        .into(),
        retention_ms: config.retention.age_ms,
        retention_bytes: config.retention.bytes,
        hold_bytes: Some(config.retention.hold_bytes).filter(|bytes| *bytes != u64::MAX),
        at_hold_limit: match config.retention.on_limit {
            OnLimit::Refuse => "refuse",
            OnLimit::DeleteOldest => "delete_oldest",
        }
        .into(),
        compact: config.compact,
        bytes: partitions.iter().map(|one| one.bytes).sum(),
        records: partitions.iter().map(|one| one.records).sum(),
        partitions,
    }
}
