//! Kafka clients that we did not write, told to write and read with settings of the test's own.
//! Each is a program that says what came of it; none is linked in.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::authority::Pair;
use crate::members::java;
use crate::places;
use crate::program::Program;

/// The libraries.
pub const LIBRARIES: [&str; 3] = ["confluent", "kafka-python", "java"];

/// A Java program may take so long for its next line where everything takes ten times as long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Starts a client of this library that carries out these orders; see `kafka_orders.py`.
///
/// # Panics
/// When the library is not installed.
#[must_use]
pub fn start(
    library: &str,
    kafka: SocketAddr,
    settings: &[(String, String)],
    orders: &[&str],
) -> Program {
    let mut command = match library {
        "java" => {
            let mut command = java();
            command.arg("KafkaOrders");
            command
        }
        _ => {
            let mut command = Command::new(places::python());
            command.arg(places::client_script("kafka_orders.py"));
            command
        }
    };
    command.args([kafka.ip().to_string(), kafka.port().to_string()]);
    if library != "java" {
        command.arg(library);
    }
    command.args(settings.iter().map(|(name, value)| format!("{name}={value}")));
    Program::start(command.arg("--").args(orders))
}

/// What such a client said, to its end.
///
/// # Panics
/// When it does not end well.
#[must_use]
pub fn said(
    library: &str,
    kafka: SocketAddr,
    settings: &[(String, String)],
    orders: &[&str],
) -> Vec<String> {
    let mut program = start(library, kafka, settings, orders);
    let mut lines = Vec::new();
    while let Some(line) = program.line_within(PATIENCE) {
        lines.push(line);
    }
    lines.extend(program.succeeds());
    lines
}

/// The settings with which a library speaks TLS: whom it trusts, and what it shows.
///
/// # Panics
/// When a file cannot be written.
#[must_use]
pub fn secret(library: &str, authority: &Path, shown: Option<&Pair>) -> Vec<(String, String)> {
    let text = |path: &Path| path.display().to_string();
    let ca = text(authority);
    let mut settings = match library {
        "confluent" => vec![("security.protocol", "ssl".into()), ("ssl.ca.location", ca)],
        "kafka-python" => vec![("security_protocol", "SSL".into()), ("ssl_cafile", ca)],
        _ => vec![
            ("security.protocol", "SSL".into()),
            ("ssl.truststore.type", "PEM".into()),
            ("ssl.truststore.location", ca),
        ],
    };
    if let Some(Pair { cert, key, .. }) = shown {
        settings.extend(match library {
            "confluent" => {
                vec![("ssl.certificate.location", text(cert)), ("ssl.key.location", text(key))]
            }
            "kafka-python" => vec![("ssl_certfile", text(cert)), ("ssl_keyfile", text(key))],
            _ => {
                let both = cert.with_extension("both");
                let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
                std::fs::write(&both, read(key) + &read(cert)).expect("written");
                vec![("ssl.keystore.type", "PEM".into()), ("ssl.keystore.location", text(&both))]
            }
        });
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The settings with which a library signs in, without TLS.
#[must_use]
pub fn signing_in(
    library: &str,
    mechanism: &str,
    user: &str,
    password: &str,
) -> Vec<(String, String)> {
    let (plaintext, mechanism) = ("SASL_PLAINTEXT".to_owned(), mechanism.to_owned());
    let settings = match library {
        "confluent" => vec![
            ("security.protocol", plaintext),
            ("sasl.mechanism", mechanism),
            ("sasl.username", user.to_owned()),
            ("sasl.password", password.to_owned()),
        ],
        "kafka-python" => vec![
            ("security_protocol", plaintext),
            ("sasl_mechanism", mechanism),
            ("sasl_plain_username", user.to_owned()),
            ("sasl_plain_password", password.to_owned()),
        ],
        _ => {
            let module = match &*mechanism {
                "PLAIN" => "plain.PlainLoginModule",
                _ => "scram.ScramLoginModule",
            };
            let login = format!(
                "org.apache.kafka.common.security.{module} required \
                 username=\"{user}\" password=\"{password}\";"
            );
            vec![
                ("security.protocol", plaintext),
                ("sasl.mechanism", mechanism),
                ("sasl.jaas.config", login),
            ]
        }
    };
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
