//! IncrementalAlterConfigs: settings stand in the configuration, which the next start would obey.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::names::BY_CONFIGURATION;

/// Changes nothing.
pub(super) fn answer(request: &IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let refused = request.resources.iter().map(|resource| {
        AlterConfigsResourceResponse::default()
            .with_error_code(ResponseError::PolicyViolation.code())
            .with_error_message(Some(StrBytes::from_static_str(BY_CONFIGURATION)))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    IncrementalAlterConfigsResponse::default().with_responses(refused.collect())
}
