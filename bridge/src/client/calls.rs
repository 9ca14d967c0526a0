//! What our client asks: each call with the versions that it may be made in, and the shape that
//! its answer is held against before it is decoded.

use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest, EndTxnRequest,
    FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, OffsetFetchRequest, ProduceRequest, SaslAuthenticateRequest,
    SaslHandshakeRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::Request;

use crate::guard::{Shape, answers};

/// A request that our client may make.
pub(crate) trait Call: Request {
    /// From the lowest version that it can be made in to the highest.
    const ASKED: (i16, i16);
    /// What the answer looks like.
    fn answer() -> &'static Shape;
}

macro_rules! calls {
    ($($request:ident $lowest:literal $highest:literal $answer:ident;)*) => {
        $(impl Call for $request {
            const ASKED: (i16, i16) = ($lowest, $highest);
            fn answer() -> &'static Shape {
                &answers::$answer
            }
        })*
    };
}

// The lowest are those of Kafka 2.5. What is newer brings nothing that is needed here.
calls! {
    ApiVersionsRequest 0 0 API_VERSIONS;
    SaslHandshakeRequest 1 1 SASL_HANDSHAKE;
    SaslAuthenticateRequest 0 0 SASL_AUTHENTICATE;
    MetadataRequest 4 4 METADATA;
    FindCoordinatorRequest 1 1 FIND_COORDINATOR;
    InitProducerIdRequest 1 1 INIT_PRODUCER_ID;
    AddPartitionsToTxnRequest 1 1 ADD_PARTITIONS_TO_TXN;
    AddOffsetsToTxnRequest 1 1 ERROR_ALONE;
    EndTxnRequest 1 1 ERROR_ALONE;
    TxnOffsetCommitRequest 2 2 TXN_OFFSET_COMMIT;
    OffsetFetchRequest 7 7 OFFSET_FETCH;
    ProduceRequest 7 8 PRODUCE;
    FetchRequest 10 10 FETCH;
    ListOffsetsRequest 2 2 LIST_OFFSETS;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::messages::{
        AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest, EndTxnRequest,
        FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
        MetadataRequest, OffsetFetchRequest, ProduceRequest, SaslAuthenticateRequest,
        SaslHandshakeRequest, TxnOffsetCommitRequest,
    };
    use kafka_protocol::protocol::Decodable;

    use super::Call;
    use crate::guard::{check, sample};

    /// The decoder reads what the shape describes to its last byte, and what is cut is refused
    /// before it gets there.
    fn check_call<Q: Call>() {
        for version in Q::ASKED.0..=Q::ASKED.1 {
            for elements in 0..3 {
                let body = sample::write(Q::answer(), version, elements);
                let mut bytes = Bytes::from(body.clone());
                let decoded = Q::Response::decode(&mut bytes, version);
                assert!(decoded.is_ok(), "{} {version}", Q::KEY);
                assert!(bytes.is_empty(), "{} {version}: {} left", Q::KEY, bytes.len());
                for end in 0..body.len() {
                    let cut = check(Q::answer(), version, &body[..end]);
                    assert!(cut.is_err(), "{} {version} {end}", Q::KEY);
                }
            }
        }
    }

    #[test]
    fn every_answer_is_what_its_shape_says() {
        check_call::<ApiVersionsRequest>();
        check_call::<SaslHandshakeRequest>();
        check_call::<SaslAuthenticateRequest>();
        check_call::<MetadataRequest>();
        check_call::<FindCoordinatorRequest>();
        check_call::<InitProducerIdRequest>();
        check_call::<AddPartitionsToTxnRequest>();
        check_call::<AddOffsetsToTxnRequest>();
        check_call::<EndTxnRequest>();
        check_call::<TxnOffsetCommitRequest>();
        check_call::<OffsetFetchRequest>();
        check_call::<ProduceRequest>();
        check_call::<FetchRequest>();
        check_call::<ListOffsetsRequest>();
    }
}
