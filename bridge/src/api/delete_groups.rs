//! DeleteGroups: groups without members go, with their offsets.

use std::sync::Arc;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use crate::context::{Call, Context};
use crate::groups::{Answer, Refusal};
use crate::text::shared;

/// Answered when all that can go is gone for good.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    let permit = context.permit(call);
    for group in request.groups_names {
        if let Err(error) = permit.group(&group) {
            let result = DeletableGroupResult::default().with_group_id(group);
            results.push(result.with_error_code(error.code()));
            continue;
        }
        let name: Arc<str> = shared(&group);
        let error = match context.coordinator.end(&name).await {
            Answer::Done => 0,
            Answer::Refused(why) => why.code(),
            _ => Refusal::InvalidRequest.code(),
        };
        results.push(DeletableGroupResult::default().with_group_id(group).with_error_code(error));
    }
    DeleteGroupsResponse::default().with_results(results)
}
