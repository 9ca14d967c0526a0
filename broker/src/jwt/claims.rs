//! What a token says, held to what is asked of it. The signature is somebody else's affair.

use std::sync::Arc;

use serde_json::{Map, Value};
use tidewire_proto::access::{Narrow, Vouched};

use super::fault::Fault;
use crate::config::{JwtConfig, TokenUserName};

/// Longest user name, client id, or name of a group, in bytes.
const NAME_BYTES_MAX: usize = 1_024;
/// Groups of one token.
const GROUPS_MAX: usize = 256;
/// Seconds beyond which a date is none: the year 9999.
const DATE_MAX: f64 = 253_402_300_799.0;

/// Who shows a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bearer<'a> {
    /// The user that it says it is; `None`: its protocol does not ask for that.
    pub(crate) user: Option<&'a str>,
    /// Its client id; of none: it did not say.
    pub(crate) client_id: &'a str,
}

/// What a token comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) user: Box<str>,
    pub(crate) vouched: Option<Arc<Vouched>>,
    /// Until when it holds, in milliseconds of the Unix epoch.
    pub(crate) until_ms: Option<i64>,
}

/// Reads the claims of a token whose signature is right.
pub(crate) fn judge(
    json: &[u8],
    config: &JwtConfig,
    bearer: Bearer<'_>,
    now_ms: i64,
) -> Result<Said, Fault> {
    let claims: Map<String, Value> = serde_json::from_slice(json).map_err(|_| Fault::Form)?;
    let until_ms = check_time(&claims, config, now_ms)?;
    if let Some(issuer) = &config.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(Fault::Issuer);
    }
    if let Some(audience) = &config.audience
        && !is_for(claims.get("aud"), audience)
    {
        return Err(Fault::Audience);
    }
    let user = name(&claims, &config.user_claim)?;
    if config.user_name == TokenUserName::Claim && bearer.user.is_some_and(|said| said != user) {
        return Err(Fault::UserName);
    }
    if let Some(claim) = &config.client_id_claim
        && name(&claims, claim)? != bearer.client_id
    {
        return Err(Fault::ClientId);
    }
    let vouched = vouched(&claims, config)?.shared();
    Ok(Said { user: user.into(), vouched, until_ms })
}

/// Until when it holds, if it says so.
fn check_time(
    claims: &Map<String, Value>,
    config: &JwtConfig,
    now_ms: i64,
) -> Result<Option<i64>, Fault> {
    let leeway_ms = i64::from(config.leeway_s) * 1_000;
    let until_ms = date_ms(claims, "exp")?.map(|at_ms| at_ms + leeway_ms);
    match until_ms {
        None if config.require_expiry => return Err(Fault::NoExpiry),
        Some(until_ms) if until_ms <= now_ms => return Err(Fault::Expired),
        _ => (),
    }
    match date_ms(claims, "nbf")? {
        Some(from_ms) if from_ms - leeway_ms > now_ms => Err(Fault::Early),
        _ => Ok(until_ms),
    }
}

/// A date in seconds of the Unix epoch, of which there may be parts.
fn date_ms(claims: &Map<String, Value>, claim: &str) -> Result<Option<i64>, Fault> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=DATE_MAX).contains(seconds));
    let seconds = seconds.ok_or_else(|| Fault::Claim(claim.into()))?;
    #[allow(clippy::cast_possible_truncation, reason = "it is held to a range just before")]
    Ok(Some((seconds * 1_000.0) as i64))
}

fn is_for(claim: Option<&Value>, audience: &str) -> bool {
    match claim {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

fn name<'a>(claims: &'a Map<String, Value>, claim: &str) -> Result<&'a str, Fault> {
    let name = claims.get(claim).and_then(Value::as_str).filter(|name| is_name(name));
    name.ok_or_else(|| Fault::Claim(claim.into()))
}

/// It is compared, counted and written into rows and log lines.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Groups and bounds. A claim that is not there gives no group, and no bounds where the settings
/// name none; where they do, a token without it is not taken: it might have been cut off.
fn vouched(claims: &Map<String, Value>, config: &JwtConfig) -> Result<Vouched, Fault> {
    let groups = match &config.groups_claim {
        Some(claim) => groups(claims.get(claim)).ok_or_else(|| Fault::Claim(claim.as_str().into())),
        None => Ok(Arc::default()),
    }?;
    let narrow = match &config.acl_claim {
        Some(claim) => {
            let narrow = claims.get(claim).and_then(narrow);
            Some(Arc::new(narrow.ok_or_else(|| Fault::Claim(claim.as_str().into()))?))
        }
        None => None,
    };
    Ok(Vouched { groups, narrow, is_superuser: false })
}

/// One name, or a list of them.
pub(crate) fn groups(claim: Option<&Value>) -> Option<Arc<[Box<str>]>> {
    let all = match claim {
        None | Some(Value::Null) => return Some(Arc::default()),
        Some(Value::String(one)) => return is_name(one).then(|| [one.as_str().into()].into()),
        Some(Value::Array(all)) if all.len() <= GROUPS_MAX => all,
        Some(_) => return None,
    };
    all.iter().map(|one| one.as_str().filter(|one| is_name(one)).map(Into::into)).collect()
}

/// `{"publish": ["a/#"], "subscribe": ["b/#"]}`: a list that is not there is empty.
pub(crate) fn narrow(claim: &Value) -> Option<Narrow> {
    let lists = claim.as_object()?;
    if lists.keys().any(|key| !matches!(key.as_str(), "publish" | "subscribe")) {
        return None;
    }
    let list = |key: &str| match lists.get(key) {
        None => Some(Vec::new()),
        Some(Value::Array(all)) => all.iter().map(Value::as_str).collect(),
        Some(_) => None,
    };
    Narrow::new(list("publish")?, list("subscribe")?).ok()
}
