//! One connection to one broker: requests in their order, each answer held against its shape
//! before it is decoded. Never decides what to ask.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ProduceRequest};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::client::calls::Call;
use crate::client::fault::Fault;
use crate::client::produce::{Pieces, Produce};
use crate::client::socket::{self, Stream};
use crate::client::target::Target;
use crate::guard;

/// The length in front of every frame.
const LENGTH_BYTES: usize = 4;
/// What is read at once; a length alone reserves no more.
const READ_BYTES: usize = 64 << 10;

/// A connection whose versions are known.
pub(crate) struct Link {
    address: String,
    stream: Box<dyn Stream>,
    client_id: String,
    correlation: i32,
    /// From which version to which the other side knows an API.
    known: HashMap<i16, (i16, i16)>,
    within: Duration,
    bytes_max: usize,
}

/// A request that is on its way.
#[must_use]
#[derive(Debug)]
pub(crate) struct Sent {
    correlation: i32,
    version: i16,
}

impl Link {
    /// Connects, and asks for versions.
    pub(crate) async fn connect(
        target: &Arc<Target>,
        (host, port): (&str, u16),
    ) -> Result<Self, Fault> {
        let stream = socket::connect((host, port), target.tls.as_ref(), target.connect).await?;
        Self::over(target, format!("{host}:{port}"), stream).await
    }

    /// The same over what is connected.
    pub(crate) async fn over(
        target: &Arc<Target>,
        address: String,
        stream: Box<dyn Stream>,
    ) -> Result<Self, Fault> {
        let mut link = Self {
            address,
            stream,
            client_id: target.client_id.clone(),
            correlation: 0,
            known: HashMap::from([(ApiVersionsRequest::KEY, (0, 0))]),
            within: target.answer,
            bytes_max: target.answer_bytes_max,
        };
        let answer = link.call(&ApiVersionsRequest::default()).await?;
        Fault::of(answer.error_code, || format!("versions of {}", link.address))?;
        let keys = answer.api_keys.iter();
        link.known = keys.map(|it| (it.api_key, (it.min_version, it.max_version))).collect();
        Ok(link)
    }

    /// Where it leads.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call<Q: Call>(&mut self, request: &Q) -> Result<Q::Response, Fault> {
        let sent = self.send(request).await?;
        self.receive::<Q>(sent).await
    }

    /// Asks. Answers come in the order of requests.
    pub(crate) async fn send<Q: Call>(&mut self, request: &Q) -> Result<Sent, Fault> {
        let version = self.version::<Q>()?;
        self.correlation = self.correlation.wrapping_add(1);
        let frame = self.frame(request, version)?;
        self.write(&[frame.freeze()]).await?;
        Ok(Sent { correlation: self.correlation, version })
    }

    /// The same, without a copy of what it writes.
    pub(crate) async fn send_produce(&mut self, produce: &Produce<'_>) -> Result<Sent, Fault> {
        let version = self.version::<ProduceRequest>()?;
        self.correlation = self.correlation.wrapping_add(1);
        let mut front = Vec::new();
        self.put_front(&mut front, ProduceRequest::KEY, version)?;
        let mut pieces = Pieces::new(front);
        produce.put(&mut pieces)?;
        self.write(&pieces.framed()?).await?;
        Ok(Sent { correlation: self.correlation, version })
    }

    async fn write(&mut self, pieces: &[Bytes]) -> Result<(), Fault> {
        let lost = |error| Fault::Lost { address: self.address.clone(), error };
        let within = self.within;
        let silent = Fault::Silent { address: self.address.clone(), seconds: within.as_secs() };
        let sending = async {
            for piece in pieces {
                self.stream.write_all(piece).await?;
            }
            self.stream.flush().await
        };
        timeout(within, sending).await.map_err(|_| silent)?.map_err(lost)
    }

    /// The answer to what was asked first of all that is not answered.
    pub(crate) async fn receive<Q: Call>(&mut self, sent: Sent) -> Result<Q::Response, Fault> {
        let (within, address) = (self.within, self.address.clone());
        let reading = timeout(within, self.read_frame()).await;
        let silent = |_| Fault::Silent { address, seconds: within.as_secs() };
        let mut frame = reading.map_err(silent)??;
        let malformed = |what: &str| Fault::malformed(&self.address, what);
        if frame.len() < size_of::<i32>() || frame.get_i32() != sent.correlation {
            return Err(malformed("an answer to what was not asked"));
        }
        let is_flexible = <Q::Response as HeaderVersion>::header_version(sent.version) > 0;
        // Tagged fields of the header: nobody sends any.
        if is_flexible && (frame.is_empty() || frame.get_u8() != 0) {
            return Err(malformed("an answer with a header that is not known"));
        }
        let checked = guard::check(Q::answer(), sent.version, &frame);
        checked.map_err(|error| Fault::guarded(&self.address, error))?;
        let decoded = Q::Response::decode(&mut frame, sent.version);
        decoded.map_err(|error| malformed(&error.to_string()))
    }

    fn version<Q: Call>(&self) -> Result<i16, Fault> {
        let (lowest, highest) = Q::ASKED;
        let known = self.known.get(&Q::KEY);
        let best = known.map(|(min, max)| (lowest.max(*min), highest.min(*max)));
        best.filter(|(min, max)| min <= max).map(|(_, max)| max).ok_or_else(|| {
            let api = ApiKey::try_from(Q::KEY).unwrap_or(ApiKey::ApiVersions);
            Fault::Unsupported { address: self.address.clone(), api, lowest, highest }
        })
    }

    fn frame<Q: Call>(&self, request: &Q, version: i16) -> Result<BytesMut, Fault> {
        let malformed = |what: &str| Fault::Other(format!("a request cannot be written: {what}"));
        let bytes = request.compute_size(version).unwrap_or(0) + self.client_id.len() + 32;
        let mut frame = BytesMut::with_capacity(bytes);
        frame.put_i32(0);
        self.put_front(&mut frame, Q::KEY, version)?;
        if Q::header_version(version) >= 2 {
            frame.put_u8(0);
        }
        request.encode(&mut frame, version).map_err(|error| malformed(&error.to_string()))?;
        let length = i32::try_from(frame.len() - LENGTH_BYTES).map_err(|_| malformed("length"))?;
        frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    /// What stands before every request.
    fn put_front(&self, out: &mut impl BufMut, key: i16, version: i16) -> Result<(), Fault> {
        let too_long = |_| Fault::Other("a request cannot be written: client id".into());
        let name = i16::try_from(self.client_id.len()).map_err(too_long)?;
        out.put_i16(key);
        out.put_i16(version);
        out.put_i32(self.correlation);
        out.put_i16(name);
        out.put_slice(self.client_id.as_bytes());
        Ok(())
    }

    async fn read_frame(&mut self) -> Result<Bytes, Fault> {
        let lost = |error| Fault::Lost { address: self.address.clone(), error };
        let length = self.stream.read_i32().await.map_err(lost)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.bytes_max);
        let Some(length) = length else {
            return Err(Fault::malformed(&self.address, "an answer that is too long"));
        };
        let mut frame = BytesMut::with_capacity(length.min(READ_BYTES));
        while frame.len() < length {
            let left = length - frame.len();
            frame.reserve(left.min(READ_BYTES.max(frame.len())));
            let mut rest = (&mut self.stream).take(left as u64);
            let read = rest.read_buf(&mut frame).await;
            if read.map_err(lost)? == 0 {
                return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(frame.freeze())
    }
}
