//! What `tidewire init` writes and what it says. Makes no file.

use serde_json::json;

/// The password of the first user.
pub(super) enum Secret {
    /// Made here: it is shown, once.
    Made(String),
    /// The one that was given: it is not shown.
    Known(String),
}

impl Secret {
    pub(super) fn password(&self) -> &str {
        match self {
            Self::Made(password) | Self::Known(password) => password,
        }
    }
}

/// What was made, and how to call it.
pub(super) struct Facts {
    /// As the program was called.
    pub(super) program: String,
    pub(super) dir: String,
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) user: String,
    pub(super) secret: Secret,
    /// Of an administrator, for the HTTP port.
    pub(super) token: String,
}

/// The configuration.
pub(super) fn config(facts: &Facts) -> String {
    let Facts { dir, cert, key, .. } = facts;
    let file = |name: &str| toml_text(&format!("{dir}/{name}"));
    format!(
        "# Made by `tidewire init`. What is not said here has its default: config/tidewire.toml\n\
         # lists every setting. Check it with: tidewire check --config FILE\n\
         \n[data]\ndir = {}\n\
         \n# MQTT without TLS, for this machine only.\n[listener.mqtt]\nbind = \"127.0.0.1:1883\"\n\
         \n# MQTT over TLS, for the network.\n[listener.mqtts]\nbind = \"0.0.0.0:8883\"\n\
         [listener.mqtts.tls]\ncert_file = {}\nkey_file = {}\n\
         \n# The streams for Kafka clients, for this machine only.\n[listener.kafka]\n\
         bind = \"127.0.0.1:9092\"\n\
         \n# Health, metrics and the API, for this machine only; who asks brings a token.\n\
         [listener.http]\nbind = \"127.0.0.1:18080\"\ntoken_file = {}\n\
         \n# Everybody signs in.\n[auth]\npassword_file = {}\n\
         \n# What no rule allows is denied.\n[access]\nrules_file = {}\n",
        file("data"),
        toml_text(cert),
        toml_text(key),
        file("tokens"),
        file("passwords"),
        file("rules"),
    )
}

/// The access rules.
pub(super) fn rules(user: &str) -> String {
    format!(
        "# Who may do what: what no line allows is denied, and a denial goes before the rest.\n\
         # A change holds at once. Ask it: tidewire acl check USER ACTION TOPIC --config FILE\n\
         group admins = {user}\n\
         allow group=admins any #\n\
         allow group=admins subscribe $SYS/#\n\
         # A device with a part of its own:\n\
         # allow user=press-7 publish,subscribe plant/%u/#\n"
    )
}

/// What to do next. Each line behind two blanks can be pasted as it is.
pub(super) fn report(facts: &Facts) -> String {
    let Facts { program, dir, user, secret, token, .. } = facts;
    let (program, file) = (shell_text(program), |name: &str| shell_text(&format!("{dir}/{name}")));
    let (told, password) = match secret {
        Secret::Made(password) => {
            let told = format!("The password of {user}, shown this once:  {password}");
            (told, shell_text(password))
        }
        Secret::Known(_) => {
            let told = format!("The password of {user} is the one that you gave.");
            (format!("{told} For the lines below:\n\n  read -rs PASSWORD"), "\"$PASSWORD\"".into())
        }
    };
    let whom = format!(
        "--url mqtts://127.0.0.1:8883 --cafile {} -u {user} \
         --password-file <(printf %s {password})",
        file("certs/ca.pem")
    );
    let config = file("tidewire.toml");
    let sasl = "-X security.protocol=sasl_plaintext -X sasl.mechanism=PLAIN";
    format!(
        "Made in {dir}: tidewire.toml, passwords, tokens, rules, certs/.\n\
         {told}\n\
         \nStart it:\n\n  {program} --config {config}\n\
         \nListen, and in another shell say something:\n\
         \n  {program} sub 'plant/#' -v {whom}\
         \n  {program} pub plant/line-1/temperature 21.5 {whom}\n\
         \nRead it with a Kafka client:\n\
         \n  kcat -b 127.0.0.1:9092 {sasl} -X sasl.username={user} -X sasl.password={password} \
         -C -t mqtt -o beginning -e -f '%k: %s\\n'\n\
         \nOne more user, whose password is read from the standard input, and who may do what the \
         file of rules says:\n\
         \n  {program} passwd add {} press-7\n\
         \nAsk it how it goes, with the token of {user} for its HTTP port, shown this once too:\n\
         \n  export TIDEWIRE_TOKEN={token}\n\
         \n  {program} clients --config {config}\n\
         \nOne more token, for who collects metrics and may change nothing:\n\
         \n  {program} token create --role viewer --name metrics --config {config}\n\
         \nFor others than yourself: give clients certs/ca.pem, keep certs/ca-key.pem elsewhere.",
        file("passwords"),
    )
}

/// The same for a program.
pub(super) fn document(facts: &Facts) -> String {
    let Facts { dir, cert, key, user, secret, token, .. } = facts;
    let file = |name: &str| format!("{dir}/{name}");
    let password = match secret {
        Secret::Made(password) => Some(password),
        Secret::Known(_) => None,
    };
    let document = json!({
        "dir": dir,
        "config": file("tidewire.toml"),
        "password_file": file("passwords"),
        "token_file": file("tokens"),
        "rules_file": file("rules"),
        "ca_file": file("certs/ca.pem"),
        "cert_file": cert,
        "key_file": key,
        "user": user,
        "password": password,
        "token": token,
    });
    document.to_string()
}

/// As TOML writes text.
fn toml_text(text: &str) -> String {
    let mut written = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            c if c.is_control() => written += &format!("\\u{:04x}", u32::from(c)),
            c => written.push(c),
        }
    }
    written + "\""
}

/// As a shell reads it as one word.
fn shell_text(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Secret, config, document, report, shell_text, toml_text};

    #[test]
    fn any_path_can_be_written_down() {
        for path in ["/a b", "/a\"b\\c", "/it's", "/tab\there", "/größe"] {
            let table: toml::Table = toml::from_str(&format!("p = {}", toml_text(path))).unwrap();
            assert_eq!(table["p"].as_str(), Some(path));
        }
        assert_eq!(shell_text("/a/b-1.pem"), "/a/b-1.pem");
        assert_eq!(shell_text("/it's here"), r"'/it'\''s here'");
        assert_eq!(shell_text(""), "''");
    }

    #[test]
    fn a_password_that_was_given_is_said_nowhere() {
        let facts = Facts {
            program: "tidewire".into(),
            dir: "/d".into(),
            cert: "/d/c".into(),
            key: "/d/k".into(),
            user: "admin".into(),
            secret: Secret::Known("pencil".into()),
            token: "tw_x".into(),
        };
        assert!(!report(&facts).contains("pencil") && !config(&facts).contains("pencil"));
        assert!(!config(&facts).contains("tw_x") && !document(&facts).contains("pencil"));
    }
}
