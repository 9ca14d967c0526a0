//! DescribeAcls: there are none, and that is said.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::DescribeAclsResponse;
use kafka_protocol::protocol::StrBytes;

/// As a Kafka without an authorizer answers.
pub(super) fn answer() -> DescribeAclsResponse {
    DescribeAclsResponse::default()
        .with_error_code(ResponseError::SecurityDisabled.code())
        .with_error_message(Some(StrBytes::from_static_str("there are no access rules")))
}
