//! ApiVersions: what we serve. Answers from the table and from nothing else.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::ApiVersion;

use crate::versions::{APIS, Api};
use crate::wire::{Answer, Refusal};

/// All that we serve.
pub(super) fn answer() -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_api_keys(APIS.iter().map(range).collect())
}

/// To a request in a version that we do not know: in the oldest form, with the range that we do.
pub(super) fn unsupported(correlation: i32) -> Result<Answer, Refusal> {
    let own = |api: &&Api| api.key == kafka_protocol::messages::ApiKey::ApiVersions;
    let answer = ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(APIS.iter().filter(own).map(range).collect());
    Answer::of(&answer, 0, correlation)
}

fn range(api: &Api) -> ApiVersion {
    let (min, max) = api.advertised;
    ApiVersion::default().with_api_key(api.key as i16).with_min_version(min).with_max_version(max)
}
