//! ListOffsets: first, next, and by time. Never reads more than it takes to find one record.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use tidewire_proto::id::PartitionId;
use tidewire_store::{ReadError, Store};

use crate::context::{Call, Context, LEADER_EPOCH};
use crate::first::first_from;
use crate::names;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// A place in the log: offset and timestamp, each -1 where there is none.
type Place = (i64, i64);

const NOWHERE: Place = (-1, -1);

/// Answers partition by partition.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &ListOffsetsRequest,
) -> ListOffsetsResponse {
    let (topics, permit) = (context.topics(), context.permit(call));
    let mut answered = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let unknown = ResponseError::UnknownTopicOrPartition;
        let stream = topics.named(&topic.name).map(|(stream, _)| stream).ok_or(unknown);
        let stream = stream.and_then(|stream| permit.read(stream).map(|()| stream));
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let id = stream
                .and_then(|stream| names::partition(stream, wanted.partition_index).ok_or(unknown));
            let found = match id {
                Ok(id) => find(context, wanted, id).await,
                Err(error) => Err(error),
            };
            partitions.push(describe(call, wanted.partition_index, found));
        }
        let topic = ListOffsetsTopicResponse::default().with_name(topic.name.clone());
        answered.push(topic.with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(answered)
}

fn describe(
    call: &Call,
    index: i32,
    found: Result<Place, ResponseError>,
) -> ListOffsetsPartitionResponse {
    let partition = ListOffsetsPartitionResponse::default().with_partition_index(index);
    let (offset, timestamp) = match found {
        Ok(place) => place,
        Err(error) => return partition.with_error_code(error.code()),
    };
    let partition = partition.with_offset(offset).with_timestamp(timestamp);
    match call.version {
        4.. if offset >= 0 => partition.with_leader_epoch(LEADER_EPOCH),
        _ => partition,
    }
}

async fn find(
    context: &Context,
    wanted: &ListOffsetsPartition,
    id: PartitionId,
) -> Result<Place, ResponseError> {
    if wanted.current_leader_epoch > LEADER_EPOCH {
        return Err(ResponseError::UnknownLeaderEpoch);
    }
    let (start, end) = context.store.bounds(id).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let store = context.store.clone();
    let read = match wanted.timestamp {
        LATEST => return Ok((signed(end), -1)),
        EARLIEST | EARLIEST_LOCAL => return Ok((signed(start), -1)),
        LATEST_TIERED => return Ok(NOWHERE),
        MAX_TIMESTAMP => tokio::task::spawn_blocking(move || newest(&store, id)).await,
        timestamp if timestamp < 0 => return Err(ResponseError::InvalidRequest),
        timestamp => tokio::task::spawn_blocking(move || at_time(&store, id, timestamp)).await,
    };
    let place = read.map_err(|_| ResponseError::UnknownServerError)?;
    place.map_err(|_| ResponseError::KafkaStorageError)
}

fn at_time(store: &Store, id: PartitionId, timestamp: i64) -> Result<Place, ReadError> {
    let offset = store.offset_at(id, timestamp)?;
    record_at(store, id, offset)
}

/// Records are stamped on arrival: the last is the newest.
fn newest(store: &Store, id: PartitionId) -> Result<Place, ReadError> {
    let (start, end) = store.bounds(id).ok_or(ReadError::UnknownPartition)?;
    match end > start {
        true => record_at(store, id, end - 1),
        false => Ok(NOWHERE),
    }
}

/// The first record from this offset on.
fn record_at(store: &Store, id: PartitionId, offset: u64) -> Result<Place, ReadError> {
    let first = first_from(store, id, offset)?;
    Ok(first.map_or(NOWHERE, |(offset, came_ms)| (signed(offset), came_ms)))
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
