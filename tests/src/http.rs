//! A small HTTP client, and a judge of answers by the document that describes them. Understands
//! what our port sends, and no more of HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;

use crate::program::PATIENCE;

/// Who asks, and where.
#[derive(Clone, Debug)]
pub struct Http {
    address: SocketAddr,
    token: Option<String>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200, say.
    pub status: u16,
    /// Everything before the body.
    pub head: String,
    /// The body as it came.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.head, self.body))
    }
}

impl Http {
    /// Somebody without a token.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// Somebody with this token.
    #[must_use]
    pub fn with(&self, token: &str) -> Self {
        Self { address: self.address, token: Some(token.trim().into()) }
    }

    /// What `/metrics` says of a series with these labels, if it is there.
    ///
    /// # Panics
    /// When the page is not served, or its number is none.
    #[must_use]
    pub fn series(&self, series: &str) -> Option<f64> {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut lines = answer.body.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().expect("a number"))
    }

    /// Waits until a series is this: cores count for themselves for a while.
    ///
    /// # Panics
    /// When it is something else for too long.
    pub fn await_series(&self, series: &str, expected: f64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.series(series);
            if value.is_some_and(|value| (value - expected).abs() < f64::EPSILON) {
                return;
            }
            assert!(Instant::now() < deadline, "{series} is {value:?}, not {expected}");
        }
    }

    /// Asks, with a body or without.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = self.token.as_ref();
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            token.unwrap_or_default(),
            body.len()
        );
        self.say(head.as_bytes()).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// Asks for what is there.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    /// The same, which must be granted.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn granted(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.ask(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.json()
    }

    /// A connection that says nothing yet.
    ///
    /// # Panics
    /// When the port cannot be reached.
    #[must_use]
    pub fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("above zero");
        stream
    }

    /// Sends these bytes and hears until the end; `None`: not a whole answer came.
    ///
    /// # Panics
    /// When the port cannot be reached.
    #[must_use]
    pub fn say(&self, bytes: &[u8]) -> Option<Answer> {
        let mut stream = self.open();
        // It may have heard enough before the end.
        let _ = stream.write_all(bytes);
        hear(&mut stream)
    }
}

/// One whole answer; `None`: the connection ended before.
#[must_use]
pub fn hear(stream: &mut impl Read) -> Option<Answer> {
    let (mut heard, mut part) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(answer) = parse(&heard) {
            return Some(answer);
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => heard.extend_from_slice(&part[..count]),
        }
    }
}

fn parse(heard: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(heard);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let is_whole = body.len() >= length.unwrap_or(0);
    is_whole.then(|| Answer { status, head: head.into(), body: body.into() })
}

/// What of a value is not as its schema says; empty: all is.
#[must_use]
pub fn faults(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#')).unwrap_or(&Value::Null);
        return faults(document, target, value, place);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = |choice: &Value| faults(document, choice, value, place).is_empty();
        let fits = choices.iter().any(fits);
        return if fits { Vec::new() } else { vec![format!("{place}: {value} fits no choice")] };
    }
    let wrong = |what: &str| vec![format!("{place}: {value} is no {what}")];
    match schema["type"].as_str() {
        None if schema.is_object() => Vec::new(),
        Some("object") => of_object(document, schema, value, place),
        Some("array") => match value.as_array() {
            Some(items) => {
                let item = |item| faults(document, &schema["items"], item, &format!("{place}[]"));
                items.iter().flat_map(item).collect()
            }
            None => wrong("array"),
        },
        Some("string") if value.is_string() => Vec::new(),
        Some("boolean") if value.is_boolean() => Vec::new(),
        Some("integer") if value.is_i64() || value.is_u64() => Vec::new(),
        Some("number") if value.is_number() => Vec::new(),
        Some("null") if value.is_null() => Vec::new(),
        kind => wrong(kind.unwrap_or("known schema")),
    }
}

fn of_object(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let Some(object) = value.as_object() else { return vec![format!("{place}: no object")] };
    let mut found = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            found.push(format!("{place}: {name} is missing"));
        }
    }
    for (name, value) in object {
        let place = format!("{place}.{name}");
        let of_name = &schema["properties"][name];
        match (of_name.is_null(), &schema["additionalProperties"]) {
            (false, _) => found.extend(faults(document, of_name, value, &place)),
            (true, more) if more.is_object() => {
                found.extend(faults(document, more, value, &place));
            }
            (true, _) => found.push(format!("{place} is not in the document")),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{faults, parse};

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let whole = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(whole).map(|answer| answer.status), Some(404));
        assert!(parse(&whole[..whole.len() - 1]).is_none());
    }

    #[test]
    fn what_is_not_as_the_document_says_is_found() {
        let document = json!({ "a": { "type": "object", "required": ["n"],
            "properties": { "n": { "type": "integer" } } } });
        let schema = json!({ "$ref": "#/a" });
        let check = |value, count| {
            assert_eq!(faults(&document, &schema, &value, "").len(), count, "{value}");
        };
        check(json!({ "n": 1 }), 0);
        check(json!({ "n": "1" }), 1);
        check(json!({}), 1);
        check(json!({ "n": 1, "m": 1 }), 1);
        check(json!([]), 1);
    }
}
