//! What the program is asked, as JSON. Sends nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::passwords::Question;

#[derive(Serialize)]
struct Asked<'a> {
    client_id: &'a str,
    /// `null`: none.
    username: Option<&'a str>,
    /// `null`: none, or it is no UTF-8.
    password: Option<&'a str>,
    /// Only where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_base64: Option<String>,
    address: Option<String>,
    listener: &'a str,
    protocol: &'a str,
    certificate: Option<&'a str>,
}

/// The question as JSON.
pub(super) fn json(question: &Question) -> Vec<u8> {
    let about = &question.about;
    let text = std::str::from_utf8(&question.password);
    let asked = Asked {
        client_id: &about.client_id,
        username: Some(&*question.user).filter(|user| !user.is_empty()),
        password: text.ok().filter(|text| !text.is_empty()),
        password_base64: text.is_err().then(|| STANDARD.encode(&question.password)),
        address: question.address.map(|address| address.to_canonical().to_string()),
        listener: about.listener,
        protocol: about.protocol,
        certificate: about.certificate.as_deref(),
    };
    serde_json::to_vec(&asked).expect("text serializes")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use super::json;
    use crate::passwords::{About, Question};

    const REST: &str = r#""listener":"mqtts","protocol":"mqtt5","certificate":"device-1"}"#;

    #[test]
    fn a_question_says_who_asks_and_what_it_brings() {
        let about = About {
            client_id: Arc::from("c\"1"),
            listener: "mqtts",
            protocol: "mqtt5",
            certificate: Some("device-1".into()),
            is_token: false,
        };
        let question = |password: &[u8], user: &str| Question {
            user: user.into(),
            password: password.into(),
            address: "::ffff:192.0.2.1".parse().ok(),
            asker: Weak::new(),
            about: about.clone(),
        };
        for (password, user, expected) in [
            (&b"pencil"[..], "ann", r#""username":"ann","password":"pencil","#),
            (b"", "", r#""username":null,"password":null,"#),
            (&[0xFF], "ann", r#""username":"ann","password":null,"password_base64":"/w==","#),
        ] {
            let json = String::from_utf8(json(&question(password, user))).expect("text");
            let expected =
                format!(r#"{{"client_id":"c\"1",{expected}"address":"192.0.2.1",{REST}"#);
            assert_eq!(json, expected);
        }
    }
}
