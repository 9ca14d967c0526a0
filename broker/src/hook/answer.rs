//! What the program answers. What is not understood whole is no answer: a word that is passed over
//! might be the one that takes rights away.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tidewire_proto::access::Vouched;

use crate::jwt::{groups, is_name, narrow};

/// Longest time that an answer may hold for, in seconds.
const EXPIRES_IN_S_MAX: u64 = 100 * 365 * 24 * 60 * 60;

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Allow(Allowed),
    Deny,
    /// It does not know this client.
    Ignore,
}

/// Of whom it lets in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Who it is, if it says so.
    pub(super) user: Option<Box<str>>,
    pub(super) vouched: Option<Arc<Vouched>>,
    pub(super) expires_in_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    result: Word,
    user: Option<Box<str>>,
    groups: Option<Value>,
    #[serde(default)]
    superuser: bool,
    expires_in_s: Option<u64>,
    acl: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Allow,
    Deny,
    Ignore,
}

/// Reads an answer; `Err`: what is wrong with it.
pub(super) fn read(json: &[u8]) -> Result<Said, String> {
    let answer: Answer = serde_json::from_slice(json).map_err(|error| {
        // What it is about may hold what the client sent.
        format!("it is not of its form (line {}, column {})", error.line(), error.column())
    })?;
    match answer.result {
        Word::Deny => return Ok(Said::Deny),
        Word::Ignore => return Ok(Said::Ignore),
        Word::Allow => (),
    }
    if !answer.user.as_deref().is_none_or(is_name) {
        return Err("`user` is no name".into());
    }
    let groups = groups(answer.groups.as_ref()).ok_or("`groups` is no list of names")?;
    let narrow = match &answer.acl {
        None | Some(Value::Null) => None,
        Some(acl) => Some(Arc::new(narrow(acl).ok_or(
            "`acl` is not of the form {\"publish\": [FILTER…], \"subscribe\": [FILTER…]}",
        )?)),
    };
    let expires_in_s = answer.expires_in_s;
    if expires_in_s.is_some_and(|seconds| seconds > EXPIRES_IN_S_MAX) {
        return Err("`expires_in_s` is out of all range".into());
    }
    let vouched = Vouched { groups, narrow, is_superuser: answer.superuser }.shared();
    Ok(Said::Allow(Allowed { user: answer.user, vouched, expires_in_s }))
}

#[cfg(test)]
mod tests {
    use super::{Said, read};

    #[test]
    fn an_answer_is_understood_whole() {
        assert_eq!(read(br#"{"result": "deny"}"#), Ok(Said::Deny));
        assert_eq!(read(br#"{"result": "ignore"}"#), Ok(Said::Ignore));
        let Ok(Said::Allow(plain)) = read(br#"{"result": "allow"}"#) else { panic!("allowed") };
        assert_eq!((plain.user, plain.vouched, plain.expires_in_s), (None, None, None));
        let json = br##"{"result":"allow","user":"ann","groups":["ops","plant"],"superuser":true,
                         "expires_in_s":60,"acl":{"publish":["a/%c"],"subscribe":["#"]}}"##;
        let Ok(Said::Allow(all)) = read(json) else { panic!("allowed") };
        assert_eq!((all.user.as_deref(), all.expires_in_s), (Some("ann"), Some(60)));
        let vouched = all.vouched.expect("more than a name");
        assert_eq!(&*vouched.groups, &[Box::from("ops"), Box::from("plant")]);
        assert!(vouched.is_superuser && vouched.narrow.is_some());
    }

    #[test]
    fn what_is_not_understood_is_no_answer() {
        for json in [
            &b""[..],
            b"allow",
            b"\xff\xfe",
            b"{}",
            b"[]",
            br#"{"result": "Allow"}"#,
            br#"{"result": true}"#,
            br#"{"result": "allow", "ACL": {}}"#,
            br#"{"result": "allow", "acl": []}"#,
            br#"{"result": "allow", "acl": {"publish": "a"}}"#,
            br#"{"result": "allow", "acl": {"publish": ["a/#/b"]}}"#,
            br#"{"result": "allow", "acl": {"pub": ["a"]}}"#,
            br#"{"result": "allow", "user": ""}"#,
            br#"{"result": "allow", "user": "a\u0000b"}"#,
            br#"{"result": "allow", "user": 7}"#,
            br#"{"result": "allow", "groups": 1}"#,
            br#"{"result": "allow", "groups": [1]}"#,
            br#"{"result": "allow", "superuser": "yes"}"#,
            br#"{"result": "allow", "expires_in_s": -1}"#,
            br#"{"result": "allow", "expires_in_s": 1e30}"#,
            br#"{"result": "allow", "expires_in_s": 99999999999999}"#,
            br#"{"result": "allow", "result": "deny"}"#,
            br#"{"result": "allow"} x"#,
        ] {
            assert!(read(json).is_err(), "{}", String::from_utf8_lossy(json));
        }
    }
}
