//! What to try next when the HTTP port says no, or is not there. Asks nobody.

/// What the API said instead of doing it.
pub(crate) struct Api<'a> {
    pub(crate) status: u16,
    pub(crate) code: &'a str,
    /// Whether a token was brought.
    pub(crate) has_token: bool,
}

impl Api<'_> {
    /// The words of the broker, and what to try.
    pub(crate) fn with(&self, words: &str) -> String {
        match self.advice() {
            Some(advice) => format!("{words}\n  try: {advice}"),
            None => words.to_owned(),
        }
    }

    fn advice(&self) -> Option<&'static str> {
        Some(match (self.code, self.status) {
            ("unauthorized", _) if self.has_token => {
                "another --token-file: `tidewire token list`, beside the broker, shows whose it \
                 takes"
            }
            ("unauthorized", _) => {
                "--token-file FILE, or TIDEWIRE_TOKEN; `tidewire token create`, beside the broker, \
                 makes one"
            }
            ("forbidden", _) => "a token of that role: `tidewire token create --role ROLE`",
            ("foreign", _) => "--url http://127.0.0.1:18080 on the broker's own machine",
            ("no_kafka", _) => "listener.kafka.bind in the broker's configuration",
            ("no_route", _) => "a `tidewire` of the broker's version",
            ("not_found", _) => "the verb `ls`: it lists what there is",
            ("has_members", _) => {
                "stop its members; `tidewire groups describe GROUP` shows who they are"
            }
            ("invalid_configuration", _) => {
                "`tidewire check --config FILE`: it shows where; until then all stays as it is"
            }
            ("no_configuration_file", _) => "a start with --config FILE",
            ("refused", _) => "again in a moment",
            ("store" | "internal", _) => "`tidewire health`, and the broker's log",
            ("test_failed", _) => "`tidewire bridge show BRIDGE`",
            (_, 400) => "the same command with --help",
            (_, 408 | 503) => "`tidewire health`: it says what is in the way",
            _ => return None,
        })
    }
}

/// What to try when there is no answer at all.
pub(crate) fn unreached(words: &str) -> &'static str {
    if words.contains("refused") {
        "is a broker running there? `tidewire` starts one; --url says where another is"
    } else if words.contains("UnknownIssuer") {
        "--cafile FILE, with the authority that signed the broker's certificate"
    } else if words.contains("CertificateRequired") {
        "--cert FILE and --key FILE: this port asks for certificates of clients"
    } else if words.contains("NotValidForName") {
        "--url with a name that is in the broker's certificate"
    } else if words.contains("no answer within") {
        "--timeout with more time, or look at the broker's log"
    } else if words.contains("tls") || words.contains("certificate") {
        "http:// or https://, as listener.http.tls says; --cafile FILE for an authority of yours"
    } else {
        "--url with the address that the broker shows at its start"
    }
}

#[cfg(test)]
mod tests {
    use super::{Api, unreached};

    #[test]
    fn a_no_ends_with_what_to_try() {
        for (status, code, has_token, part) in [
            (401, "unauthorized", false, "--token-file FILE"),
            (401, "unauthorized", true, "another --token-file"),
            (403, "forbidden", true, "--role"),
            (404, "not_found", true, "`ls`"),
            (409, "has_members", true, "stop its members"),
            (503, "unavailable", true, "tidewire health"),
            (400, "invalid", true, "--help"),
        ] {
            let said = Api { status, code, has_token }.with("no");
            assert!(said.starts_with("no\n  try: ") && said.contains(part), "{said}");
        }
        assert_eq!(Api { status: 405, code: "method", has_token: true }.with("no"), "no");
        assert!(unreached("io: Connection refused").contains("running"));
    }
}
