//! Requests and answers as they travel: frames, headers, chunks. Never looks into a body.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use crate::budget::Share;
use crate::guard::{Reader, ShortError};

/// The length in front of every frame.
pub(crate) const LENGTH_BYTES: usize = 4;

/// No answer that is made of a message is longer. Fetch, which answers with what lies in the log,
/// has a limit of its own.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why we close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No frame has that length.
    FrameLength,
    /// No request, or not one that the guard lets pass.
    Malformed,
    /// An API, or a version of one, that we do not serve.
    UnknownApi,
    /// It asked for something before it had shown who it is.
    NotSignedIn,
    /// It did not show who it is in time.
    SignInTimeout,
    /// User name or password were wrong.
    NotAuthorized,
    /// Too many wrong passwords came, from there or for that user.
    Guessing,
    /// Too many passwords wait to be checked.
    Busy,
    /// Who it is could not be looked up.
    Unavailable,
    /// The time that it had by its token, or by who vouched for it, is over.
    Expired,
    /// It said nothing for too long.
    Idle,
    /// It did not take an answer.
    SlowReader,
    /// What it sent was not taken, and it asked for no answer that could say so.
    NotTaken,
    /// There are as many connections as there may be.
    TooMany,
    /// There are as many of its address.
    Address,
    /// There are as many that have not shown who they are, in all or of its address.
    Strangers,
    /// An operator shut its address out.
    Banned,
    /// Our own answer could not be written down.
    Internal,
}

impl Refusal {
    /// All there are.
    pub(crate) const ALL: [Self; 18] = [
        Self::FrameLength,
        Self::Malformed,
        Self::UnknownApi,
        Self::NotSignedIn,
        Self::SignInTimeout,
        Self::NotAuthorized,
        Self::Guessing,
        Self::Busy,
        Self::Unavailable,
        Self::Expired,
        Self::Idle,
        Self::SlowReader,
        Self::NotTaken,
        Self::TooMany,
        Self::Address,
        Self::Strangers,
        Self::Banned,
        Self::Internal,
    ];

    /// For metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::FrameLength => "frame_length",
            Self::Malformed => "malformed",
            Self::UnknownApi => "unknown_api",
            Self::NotSignedIn => "not_signed_in",
            Self::SignInTimeout => "sign_in_timeout",
            Self::NotAuthorized => "not_authorized",
            Self::Guessing => "guessing",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Expired => "expired",
            Self::Idle => "idle",
            Self::SlowReader => "slow_reader",
            Self::NotTaken => "not_taken",
            Self::TooMany => "too_many",
            Self::Address => "address",
            Self::Strangers => "unauthenticated",
            Self::Banned => "banned",
            Self::Internal => "internal",
        }
    }
}

/// What stands in front of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    pub(crate) key: i16,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
}

impl RequestHead {
    /// The first fields, which all versions share.
    pub(crate) fn read(frame: &mut Reader<'_>) -> Result<Self, ShortError> {
        Ok(Self { key: frame.i16()?, version: frame.i16()?, correlation: frame.i32()? })
    }
}

/// The rest of the header: the client's own name. Tagged fields are passed over.
pub(crate) fn read_client_id(
    frame: &mut Reader<'_>,
    is_flexible: bool,
) -> Result<String, ShortError> {
    let length = usize::try_from(frame.i16()?).unwrap_or(0);
    let name = String::from_utf8_lossy(frame.take(length)?).into_owned();
    if is_flexible {
        for _ in 0..frame.varint()? {
            frame.varint()?;
            let length = frame.varint()?;
            frame.take(length as usize)?;
        }
    }
    Ok(name)
}

/// An answer, whole, with its length in front; in pieces so that what lies in the log need not
/// be copied.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) chunks: Vec<Bytes>,
    /// What it has of what all answers may take.
    pub(crate) share: Share,
}

impl Answer {
    /// A message behind its header.
    pub(crate) fn of<M>(message: &M, version: i16, correlation: i32) -> Result<Self, Refusal>
    where
        M: Encodable + HeaderVersion,
    {
        let bytes = message.compute_size(version).unwrap_or(0);
        if bytes > ANSWER_BYTES_MAX {
            tracing::warn!(bytes, "an answer would be too long");
            return Err(Refusal::Internal);
        }
        let mut bytes = begin(correlation, M::header_version(version) > 0);
        let encoded = message.encode(&mut bytes, version);
        if let Err(error) = encoded {
            tracing::error!(%error, version, "an answer cannot be written down");
            return Err(Refusal::Internal);
        }
        Self::finish(bytes, Vec::new())
    }

    /// What was begun with [`begin`], and the chunks behind it.
    pub(crate) fn finish(mut head: BytesMut, rest: Vec<Bytes>) -> Result<Self, Refusal> {
        let behind: usize = rest.iter().map(Bytes::len).sum();
        let length = i32::try_from(head.len() - LENGTH_BYTES + behind);
        let length = length.map_err(|_| Refusal::Internal)?;
        head[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        let mut chunks = Vec::with_capacity(1 + rest.len());
        chunks.push(head.freeze());
        chunks.extend(rest);
        Ok(Self { chunks, share: Share::default() })
    }
}

/// Room for the length, and the header of an answer.
pub(crate) fn begin(correlation: i32, is_flexible: bool) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(256);
    bytes.put_i32(0);
    bytes.put_i32(correlation);
    if is_flexible {
        bytes.put_u8(0);
    }
    bytes
}
