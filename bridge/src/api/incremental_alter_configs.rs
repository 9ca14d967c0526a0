//! IncrementalAlterConfigs: settings stand in the configuration, which the next start would obey.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use crate::names;

/// Kafka's names of settings, and ours.
const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("compression.type", "compression"),
    ("retention.bytes", "retention_bytes"),
    ("retention.ms", "retention_age_s"),
];

/// Changes nothing, and says what would.
pub(super) fn answer(request: &IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let refused = request.resources.iter().map(|resource| {
        let setting = resource.configs.iter().find_map(|config| {
            let known = SETTINGS.iter().find(|(theirs, _)| *theirs == config.name.as_str());
            known.map(|(_, ours)| *ours)
        });
        let setting = setting.unwrap_or("what it has for this");
        AlterConfigsResourceResponse::default()
            .with_error_code(ResponseError::PolicyViolation.code())
            .with_error_message(Some(names::by_configuration(&resource.resource_name, setting)))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    IncrementalAlterConfigsResponse::default().with_responses(refused.collect())
}
