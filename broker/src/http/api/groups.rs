//! `/api/v1/groups` and `/api/v1/share-groups`: readers that share what they read.

use axum::http::StatusCode;
use axum::response::Response;
use tidewire_bridge::{
    ConsumerGroups, GroupLag, MemberLag, Move, PartitionLag, Reset, ResetError, ResetTo,
};

use crate::http::behind::ReaderLag;
use crate::http::page::{CURSOR, LIMIT, Wanted, cursor, reading, unreadable};
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Param, Route, Verb, json, part, query};
use crate::http::shape::{Shaped, asked, view};
use crate::moment::rfc3339;
use crate::share_lag::{ShareGroupLag, share_groups};
use crate::wall_clock::wall_clock_ms;

use super::bans::Removed;

view! {
    /// How far a group is in a partition.
    GroupOffset {
        /// The stream.
        stream: String,
        /// Its partition.
        partition: u32,
        /// The next offset that the group wants; null: it has committed none here.
        offset: Option<u64>,
        /// When it committed it.
        committed: Option<String>,
        /// The first offset that is there.
        first_offset: u64,
        /// The offset behind the last record.
        end_offset: u64,
        /// How far it is behind; null: it has committed no offset here.
        lag: Option<ReaderLag>,
        /// Who reads it now, by the id that the group gave it.
        member: Option<String>,
    }
}

view! {
    /// A member of a consumer group.
    GroupMemberInfo {
        /// The id that the group gave it.
        id: String,
        /// The id that it gave itself (`group.instance.id`).
        instance: Option<String>,
        /// What its connection calls itself.
        client_id: String,
        /// Where it connected from.
        host: String,
        /// How many partitions it reads.
        partitions: u64,
        /// How far it is behind in all of them.
        lag: ReaderLag,
    }
}

view! {
    /// A consumer group.
    GroupInfo {
        /// Its name.
        name: String,
        /// `Empty`, `PreparingRebalance`, `CompletingRebalance` or `Stable`.
        state: String,
        /// `classic` or `consumer` (KIP-848).
        kind: String,
        /// Its members.
        members: Vec<GroupMemberInfo>,
        /// What it committed, and what its members read.
        offsets: Vec<GroupOffset>,
        /// How far it is behind, over all partitions.
        lag: ReaderLag,
    }
}

view! {
    /// A page of consumer groups.
    GroupPage {
        /// By name.
        items: Vec<GroupInfo>,
        /// Where to go on.
        next: Option<String>,
    }
}

asked! {
    /// Where a group is to read on. Say one of `to`, `time_ms`, `offset` and `shift`.
    ResetOrder {
        /// `earliest` or `latest`.
        to: Option<String>,
        /// At the first record that is not older, in milliseconds since 1970.
        time_ms: Option<i64>,
        /// At this offset; needs `stream` and `partition`.
        offset: Option<u64>,
        /// So many records on, or back if it is negative.
        shift: Option<i64>,
        /// Only this stream; not said: all in which the group committed something.
        stream: Option<String>,
        /// Only this partition of `stream`.
        partition: Option<u32>,
        /// `true`: say only what would be done.
        dry_run: Option<bool>,
    }
}

view! {
    /// A partition in which a group is put elsewhere.
    Moved {
        /// The stream.
        stream: String,
        /// Its partition.
        partition: u32,
        /// Where the group was; null: it had committed none here.
        from: Option<u64>,
        /// Where it is now, or would be.
        to: u64,
    }
}

view! {
    /// What became of a reset.
    ResetDone {
        /// Whether it was done; not with `dry_run`.
        done: bool,
        /// What was moved, or would be.
        moved: Vec<Moved>,
    }
}

view! {
    /// A share group (`$share/…`).
    ShareGroupInfo {
        /// Its filter, with `$share/` and its name.
        filter: String,
        /// Members that outlast their connections.
        members: u64,
        /// Messages that members have and did not finish.
        handed: u64,
        /// Messages that came back and wait to be handed out again.
        waiting: u64,
        /// How often the message that was handed out most often was.
        attempts_max: u32,
        /// How far it is behind, as of its last commit.
        lag: ReaderLag,
    }
}

view! {
    /// A page of share groups.
    ShareGroupPage {
        /// By filter.
        items: Vec<ShareGroupInfo>,
        /// Where to go on.
        next: Option<String>,
    }
}

const GROUP: &[Param] = &[part("group", "Its name, with / as %2F.")];

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/groups",
        role: Some(Role::Viewer),
        name: "listGroups",
        about: "Consumer groups of Kafka clients, by name: members, offsets, how far behind.",
        params: &[LIMIT, CURSOR],
        body: None,
        answers: Answers::Json(GroupPage::shape),
        run: |call| -> Doing { Box::pin(async move { list(&call).await }) },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/groups/{group}",
        role: Some(Role::Viewer),
        name: "getGroup",
        about: "One consumer group.",
        params: GROUP,
        body: None,
        answers: Answers::Json(GroupInfo::shape),
        run: |call| -> Doing { Box::pin(async move { get(&call).await }) },
    },
    Route {
        verb: Verb::Post,
        path: "/api/v1/groups/{group}/offsets",
        role: Some(Role::Admin),
        name: "resetGroupOffsets",
        about: "Puts a consumer group that has no members elsewhere, durably.",
        params: GROUP,
        body: Some(ResetOrder::shape),
        answers: Answers::Json(ResetDone::shape),
        run: |call| -> Doing { Box::pin(async move { reset(&call).await }) },
    },
    Route {
        verb: Verb::Delete,
        path: "/api/v1/groups/{group}",
        role: Some(Role::Admin),
        name: "deleteGroup",
        about: "Forgets a consumer group that has no members, with its offsets.",
        params: &[
            part("group", "Its name, with / as %2F."),
            query("dry_run", "`true`: say only whether there is one."),
        ],
        body: None,
        answers: Answers::Json(Removed::shape),
        run: |call| -> Doing { Box::pin(async move { delete(&call).await }) },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/share-groups",
        role: Some(Role::Viewer),
        name: "listShareGroups",
        about: "Share groups that outlast their members' connections.",
        params: &[LIMIT, CURSOR],
        body: None,
        answers: Answers::Json(ShareGroupPage::shape),
        run: |call| -> Doing { Box::pin(async move { shares(&call).await }) },
    },
];

fn groups(call: &Call) -> Result<&ConsumerGroups, Problem> {
    let groups = call.site.inside()?.groups.as_ref();
    groups.ok_or_else(|| {
        let detail = "there is no Kafka port, so there are no consumer groups";
        Problem::new(StatusCode::NOT_FOUND, "no_kafka", detail)
    })
}

/// Behind which name a page begins.
fn after(wanted: &Wanted) -> Result<Option<String>, Problem> {
    let after = wanted.after.clone().map(String::from_utf8).transpose();
    after.map_err(|_| Problem::invalid("the cursor is not one of this list"))
}

/// Where the next page begins behind a full one.
fn next(wanted: &Wanted, count: usize, last: Option<&str>) -> Option<String> {
    last.filter(|_| count >= wanted.limit).map(|last| cursor(last.as_bytes()))
}

async fn list(call: &Call) -> Result<Response, Problem> {
    let wanted = Wanted::of(call)?;
    let after = after(&wanted)?;
    let groups = groups(call)?.clone();
    let page = reading(&call.site, move |_| {
        let names = groups.names(after.as_deref(), wanted.limit);
        let next = next(&wanted, names.len(), names.last().map(|name| &**name));
        // One that is gone meanwhile is not shown.
        let items = names.iter().filter_map(|name| groups.lag(name));
        Ok(GroupPage { items: items.map(|lag| info(&lag)).collect(), next })
    })
    .await?;
    json(&page)
}

async fn get(call: &Call) -> Result<Response, Problem> {
    json(&info(&seen(call).await?.ok_or_else(|| unknown(call))?))
}

fn unknown(call: &Call) -> Problem {
    Problem::unknown("consumer group", call.part("group"))
}

async fn seen(call: &Call) -> Result<Option<GroupLag>, Problem> {
    let (groups, name) = (groups(call)?.clone(), call.part("group").to_owned());
    reading(&call.site, move |_| Ok(groups.lag(&name))).await
}

fn info(group: &GroupLag) -> GroupInfo {
    let offset = |it: &PartitionLag| GroupOffset {
        stream: it.stream.to_string(),
        partition: it.partition,
        offset: it.committed,
        committed: it.committed_ms.map(rfc3339),
        first_offset: it.first,
        end_offset: it.end,
        lag: it.lag.map(ReaderLag::from),
        member: it.member.as_deref().map(str::to_owned),
    };
    let member = |it: &MemberLag| GroupMemberInfo {
        id: it.member.to_string(),
        instance: it.instance.as_deref().map(str::to_owned),
        client_id: it.client_id.to_string(),
        host: it.host.to_string(),
        partitions: it.partitions as u64,
        lag: it.lag.into(),
    };
    GroupInfo {
        name: group.group.to_string(),
        state: group.phase.into(),
        kind: group.kind.into(),
        members: group.members.iter().map(member).collect(),
        offsets: group.partitions.iter().map(offset).collect(),
        lag: group.lag.into(),
    }
}

async fn reset(call: &Call) -> Result<Response, Problem> {
    let order: ResetOrder = call.read()?;
    let dry_run = order.dry_run.unwrap_or(false);
    let reset = wanted_reset(order)?;
    let (groups, name) = (groups(call)?.clone(), call.part("group").to_owned());
    let planned = groups.clone();
    let moves = reading(&call.site, move |_| {
        planned.plan_reset(&name, &reset).map_err(|error| refused(&name, &error))
    })
    .await?;
    if moves.is_empty() {
        let detail = "there is nothing to move: the group has committed no offset that is meant";
        return Err(Problem::invalid(detail));
    }
    let name = call.part("group");
    if !dry_run {
        groups.reset(name, &moves).await.map_err(|error| refused(name, &error))?;
    }
    json(&ResetDone { done: !dry_run, moved: moves.iter().map(moved).collect() })
}

fn moved(it: &Move) -> Moved {
    let Move { stream, partition, from, to } = it;
    Moved { stream: stream.to_string(), partition: *partition, from: *from, to: *to }
}

/// What is said, if it is one thing and whole.
fn wanted_reset(order: ResetOrder) -> Result<Reset, Problem> {
    let ResetOrder { to, time_ms, offset, shift, stream, partition, .. } = order;
    let is_one_place = stream.is_some() && partition.is_some();
    let to = match (to.as_deref(), time_ms, offset, shift) {
        (Some("earliest"), None, None, None) => ResetTo::Earliest,
        (Some("latest"), None, None, None) => ResetTo::Latest,
        (None, Some(time_ms), None, None) => ResetTo::Time(time_ms),
        (None, None, Some(offset), None) if is_one_place => ResetTo::Offset(offset),
        (None, None, None, Some(shift)) => ResetTo::Shift(shift),
        _ => {
            return Err(Problem::invalid(
                "say one of `to` (\"earliest\" or \"latest\"), `time_ms`, `shift`, and `offset` \
                 with its `stream` and `partition`",
            ));
        }
    };
    Ok(Reset { stream, partitions: partition.into_iter().collect(), to })
}

/// Also when it is only asked whether: one with members would be refused.
async fn delete(call: &Call) -> Result<Response, Problem> {
    let dry_run = call.flag("dry_run")?;
    let name = call.part("group");
    let Some(seen) = seen(call).await? else {
        return json(&Removed { removed: false });
    };
    if !seen.members.is_empty() {
        return Err(refused(name, &ResetError::HasMembers));
    }
    let removed = match dry_run {
        true => Ok(()),
        false => groups(call)?.forget(name).await,
    };
    match removed {
        Ok(()) => json(&Removed { removed: true }),
        // Somebody else was faster.
        Err(ResetError::UnknownGroup) => json(&Removed { removed: false }),
        Err(error) => Err(refused(name, &error)),
    }
}

fn refused(name: &str, error: &ResetError) -> Problem {
    let (status, code) = match error {
        ResetError::UnknownGroup => return Problem::unknown("consumer group", name),
        ResetError::Read(error) => return unreadable(error),
        ResetError::UnknownStream(_) | ResetError::UnknownPartition(..) | ResetError::NoStream => {
            (StatusCode::BAD_REQUEST, "invalid")
        }
        ResetError::HasMembers => (StatusCode::CONFLICT, "has_members"),
        ResetError::Refused(_) => (StatusCode::CONFLICT, "refused"),
        ResetError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    Problem::new(status, code, error.to_string())
}

async fn shares(call: &Call) -> Result<Response, Problem> {
    let wanted = Wanted::of(call)?;
    let after = after(&wanted)?;
    let page = reading(&call.site, move |inside| {
        let log = (&inside.shared.store, &*inside.shared.forecasts);
        let found = share_groups(log, (after.as_deref(), wanted.limit), wall_clock_ms());
        let found = found.map_err(|error| unreadable(&error))?;
        let next = next(&wanted, found.len(), found.last().map(|last| &*last.filter));
        Ok(ShareGroupPage { items: found.into_iter().map(share_info).collect(), next })
    })
    .await?;
    json(&page)
}

fn share_info(group: ShareGroupLag) -> ShareGroupInfo {
    ShareGroupInfo {
        filter: group.filter,
        members: group.members.len() as u64,
        handed: group.handed,
        waiting: group.waiting,
        attempts_max: group.attempts_max,
        lag: group.lag.into(),
    }
}
