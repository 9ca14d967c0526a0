//! DescribeAcls: there are none of Kafka's, and that is said.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::DescribeAclsResponse;
use kafka_protocol::protocol::StrBytes;

/// As a Kafka without an authorizer answers; the broker's own rules are of another form.
pub(super) fn answer(has_rules: bool) -> DescribeAclsResponse {
    let words = match has_rules {
        false => "there are no access rules",
        true => "access rules are in the files that the broker's configuration names, not here",
    };
    DescribeAclsResponse::default()
        .with_error_code(ResponseError::SecurityDisabled.code())
        .with_error_message(Some(StrBytes::from_static_str(words)))
}
