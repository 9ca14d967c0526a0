//! `/api/v1/health`, `/api/v1/status`, `/api/v1/config`: the broker as a whole.

use serde_json::Value;

use crate::config::Config;
use crate::http::health::{self, HealthReport};
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json};
use crate::http::shape::{Shaped, view};
use crate::moment::rfc3339;

view! {
    /// An open port.
    Listener {
        /// What is spoken there, such as `mqtts`.
        protocol: String,
        /// The address that the system gave it.
        address: String,
    }
}

view! {
    /// The broker as a whole.
    BrokerStatus {
        /// Its version.
        version: String,
        /// When this run began.
        started: String,
        /// How long ago, in seconds.
        uptime_s: u64,
        /// Open connections of MQTT clients, also of those that are not in yet.
        connections: u64,
        /// Topics with a retained message.
        retained_messages: u64,
        /// What they take, in bytes.
        retained_bytes: u64,
        /// Streams of the log.
        streams: u64,
        /// What they hold, in bytes.
        stream_bytes: u64,
        /// The ports that are open.
        listeners: Vec<Listener>,
        /// Whose token this was asked with.
        token: String,
        /// What it may do: `viewer`, `operator` or `admin`.
        role: String,
    }
}

view! {
    /// A setting in force.
    Setting {
        /// Its name, such as `mqtt.receive_max`.
        name: String,
        /// Its value.
        value: Value,
        /// `default`, or `changed`: by the file, a variable or a flag.
        origin: String,
    }
}

view! {
    /// All settings in force. Secrets are in files, and not shown.
    Settings {
        /// The file that was read; null is the built-in defaults.
        file: Option<String>,
        /// All of them.
        settings: Vec<Setting>,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/health",
        role: Some(Role::Viewer),
        name: "getHealth",
        about: "How the broker is, as /readyz says it, always with 200.",
        params: &[],
        body: None,
        answers: Answers::Json(HealthReport::shape),
        run: |call| -> Doing { Box::pin(async move { json(&health::look(&call.site)) }) },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/status",
        role: Some(Role::Viewer),
        name: "getStatus",
        about: "The broker as a whole.",
        params: &[],
        body: None,
        answers: Answers::Json(BrokerStatus::shape),
        run: |call| -> Doing { Box::pin(async move { json(&status(&call)?) }) },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/config",
        role: Some(Role::Admin),
        name: "getConfig",
        about: "All settings in force, and which of them were changed.",
        params: &[],
        body: None,
        answers: Answers::Json(Settings::shape),
        run: |call| -> Doing {
            Box::pin(async move { json(&settings(&call.site.inside()?.in_force)) })
        },
    },
];

fn status(call: &Call) -> Result<BrokerStatus, Problem> {
    let inside = call.site.inside()?;
    let shared = &inside.shared;
    let (retained_messages, retained_bytes) = shared.retained.totals();
    let streams = shared.store.streams();
    let partitions = streams.iter().flat_map(|stream| stream.partitions.iter());
    let listener = |one: &crate::banner::BoundListener| Listener {
        protocol: one.protocol.name().into(),
        address: one.address.to_string(),
    };
    let (token, role) = match &call.holder {
        Some(holder) => (holder.name.clone(), holder.role.word()),
        None => (String::new(), ""),
    };
    Ok(BrokerStatus {
        version: env!("CARGO_PKG_VERSION").into(),
        started: rfc3339(shared.started_ms),
        uptime_s: u64::try_from(shared.clock.elapsed_ms() / 1000).unwrap_or(0),
        connections: shared.connections.load(std::sync::atomic::Ordering::Relaxed) as u64,
        retained_messages,
        retained_bytes,
        streams: streams.len() as u64,
        stream_bytes: partitions.map(|id| shared.store.partition_bytes(*id)).sum(),
        listeners: inside.listeners().iter().map(listener).collect(),
        token,
        role: role.into(),
    })
}

fn settings(config: &Config) -> Settings {
    let (now, before) = (tree(config), tree(&Config::default()));
    let setting = |name: String| {
        let value = find(&now, &name).cloned().unwrap_or(Value::Null);
        let is_default = find(&before, &name) == Some(&value);
        let origin = if is_default { "default" } else { "changed" };
        Setting { name, value, origin: origin.into() }
    };
    Settings {
        file: config.file.as_ref().map(|path| path.display().to_string()),
        settings: Config::settings().into_iter().map(setting).collect(),
    }
}

fn tree(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or(Value::Null)
}

fn find<'v>(tree: &'v Value, name: &str) -> Option<&'v Value> {
    name.split('.').try_fold(tree, |here, step| here.get(step))
}
