//! `tidewire check`: what can be known about a start without starting. Opens and makes nothing.

mod machine;

use std::error::Error;
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::process::Resource;

use clap::Args;
use serde_json::{Value, json};

use crate::banner::{self, Who};
use crate::closed_doors::closed_doors;
use crate::config::{
    Anonymous, BridgeConfig, ClientAuth, Config, ListenerConfig, MqttListener, ProxyProtocol,
    StreamConfig, TlsConfig, TlsIdentity,
};
use crate::hook::Hook;
use crate::privileges::Runner;
use crate::tls::TlsError;
use crate::{access_file, data_rights, http, jwt, kafka_advertised, passwords, ports, users};

use machine::{look_at_expiry, look_at_ports, look_at_space};

/// Files that we need besides one per connection.
const OTHER_FILES: u64 = 256;

#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    /// The settings; the same as --config FILE.
    pub(super) file: Option<PathBuf>,
    /// One JSON document instead of words.
    #[arg(long)]
    pub(super) json: bool,
}

/// What speaks against a start, and what is worth a thought.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Looks at the machine with the eyes of this config.
pub(super) fn look(config: &Config) -> Findings {
    let mut findings = Findings::default();
    findings.problems.extend(look_at_folder(&config.data.dir));
    findings.problems.extend(look_at_users(config));
    findings.problems.extend(look_at_passwords(config));
    findings.problems.extend(look_at_tokens(config));
    findings.problems.extend(look_at_hook(config));
    findings.problems.extend(look_at_access(config));
    findings.problems.extend(look_at_http(config));
    findings.problems.extend(look_at_tls(&config.listener));
    findings.problems.extend(closed_doors(config).iter().map(ToString::to_string));
    findings.problems.extend(look_at_runner(config));
    findings.warnings.extend(look_at_reach(config));
    findings.warnings.extend(kafka_advertised::doubts(config));
    findings.warnings.extend(look_at_plain_tokens(config));
    findings.warnings.extend(look_at_closed_http(config));
    findings.warnings.extend(data_rights::doubt(&config.data.dir));
    findings.warnings.extend(look_at_keys(&config.listener));
    findings.warnings.extend(look_at_files(config));
    let data = &config.data.dir;
    let bound = listeners(config).into_iter().filter_map(|row| Some((row.name, row.bind?)));
    findings.warnings.extend(look_at_ports(bound, data));
    findings.warnings.extend(look_at_space(&config.store, data, &nearest_existing(data)));
    findings.warnings.extend(look_at_expiry(&open_tls(&config.listener)));
    findings
}

/// What would be served, in a few lines.
pub(super) fn summary(config: &Config) -> String {
    let file = config.file.as_ref().map(|path| path.display().to_string());
    let mut text = format!("ok: {}\n", file.unwrap_or_else(|| "built-in defaults".into()));
    let dir = &config.data.dir;
    let state = if dir.exists() { "exists" } else { "will be made" };
    let rows = listeners(config).into_iter().filter_map(|row| match row.bind {
        Some(address) => {
            let reach = banner::reach(address.ip(), row.who, row.behind_proxy);
            Some((row.name, format!("{address}, {reach}")))
        }
        // That these are off is worth a line.
        None => matches!(row.name, "mqtt" | "kafka" | "http").then(|| (row.name, "off".into())),
    });
    let unix = config.listener.unix.path.as_ref();
    let unix = unix.map(|path| ("unix", format!("{}, this machine only", path.display())));
    let rows = rows.chain(unix).chain([("data", format!("{}, {state}", dir.display()))]);
    let last = config.streams.len().saturating_sub(1);
    let streams = config.streams.iter().enumerate();
    let streams = streams.map(|(place, stream)| ("stream", describe(stream, place == last)));
    for (name, fact) in rows.chain(streams) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<7} {fact}");
    }
    text
}

/// The same and what was found, for programs.
pub(super) fn document(config: &Config, findings: &Findings) -> String {
    let file = config.file.as_ref().map(|path| path.display().to_string());
    let shown = listeners(config).into_iter().filter_map(|row| {
        let address = row.bind?;
        let reach = banner::reach(address.ip(), row.who, row.behind_proxy);
        let address = address.to_string();
        Some(json!({ "name": row.name, "address": address, "reach": reach }))
    });
    let stream = |stream: &StreamConfig| {
        let StreamConfig { name, filters, partitions, durability, .. } = stream;
        let durability = durability.as_str();
        json!({
            "name": name, "filters": filters, "partitions": partitions, "durability": durability,
        })
    };
    let dir = &config.data.dir;
    let document = json!({
        "ok": findings.problems.is_empty(),
        "file": file,
        "problems": findings.problems,
        "warnings": findings.warnings,
        "listeners": shown.collect::<Vec<Value>>(),
        "unix": config.listener.unix.path.as_ref().map(|path| path.display().to_string()),
        "data": { "dir": dir.display().to_string(), "exists": dir.exists() },
        "streams": config.streams.iter().map(stream).collect::<Vec<Value>>(),
    });
    document.to_string()
}

/// A configuration that cannot be read, for programs.
pub(super) fn mistakes(lines: &[String]) -> String {
    json!({ "ok": false, "problems": lines, "warnings": [] }).to_string()
}

/// A listener, as far as it is told of.
struct Row {
    name: &'static str,
    bind: Option<SocketAddr>,
    /// The address as far as it says who can come.
    reach: Option<SocketAddr>,
    client_auth: ClientAuth,
    takes_anonymous: bool,
    who: Who,
    behind_proxy: bool,
}

fn listeners(config: &Config) -> [Row; 7] {
    let ListenerConfig { mqtt, mqtts, websocket, wss, kafka, kafkas, http, .. } = &config.listener;
    let of_mqtt = |name, common: MqttListener, client_auth| Row {
        behind_proxy: common.proxy_protocol == ProxyProtocol::Required,
        ..row(
            name,
            (common.bind, common.reach()),
            client_auth,
            common.takes_anonymous(&config.auth),
        )
    };
    let of_kafka = |name, bind, client_auth, anonymous: Anonymous| {
        row(name, (bind, bind), client_auth, anonymous.lets_in(bind, &config.auth))
    };
    [
        of_mqtt("mqtt", mqtt.clone(), ClientAuth::None),
        of_mqtt("mqtts", mqtts.common(), naming(&mqtts.tls)),
        of_mqtt("websocket", websocket.common(), ClientAuth::None),
        of_mqtt("wss", wss.common(), naming(&wss.tls)),
        of_kafka("kafka", kafka.bind, ClientAuth::None, kafka.anonymous),
        of_kafka("kafkas", kafkas.bind, naming(&kafkas.tls), kafkas.anonymous),
        row(
            "http",
            (http.bind, http.bind),
            // Without a certificate of its own it asks nobody for one.
            if http.is_secret() { http.tls.client_auth } else { ClientAuth::None },
            http.takes_anonymous(&config.auth),
        ),
    ]
}

/// Whose certificates count: one that may be left out is good for nothing where it names nobody.
fn naming(tls: &TlsConfig) -> ClientAuth {
    match (tls.client_auth, tls.identity) {
        (ClientAuth::Optional, TlsIdentity::None) => ClientAuth::None,
        (client_auth, _) => client_auth,
    }
}

fn row(
    name: &'static str,
    (bind, reach): (Option<SocketAddr>, Option<SocketAddr>),
    client_auth: ClientAuth,
    takes_anonymous: bool,
) -> Row {
    let who = Who::of(client_auth == ClientAuth::Required, takes_anonymous);
    Row { name, bind, reach, client_auth, takes_anonymous, who, behind_proxy: false }
}

/// The last one takes what no filter admits, too.
fn describe(stream: &StreamConfig, is_last: bool) -> String {
    let StreamConfig { name, partitions, durability, .. } = stream;
    let mut filters = stream.filters.join(", ");
    if is_last && !stream.filters.iter().any(|filter| filter == "#") {
        filters.push_str(" and what no other stream takes");
    }
    format!("{name}: {filters}; {partitions} partitions, durability {}", durability.as_str())
}

fn look_at_folder(dir: &Path) -> Option<String> {
    let here = nearest_existing(dir);
    let what = format!("the data folder {} cannot be used", dir.display());
    let advice = "choose another with --data DIR";
    if !here.is_dir() {
        return Some(format!("{what}: {} is not a folder; {advice}", here.display()));
    }
    let needed = Access::WRITE_OK | Access::EXEC_OK;
    let error = rustix::fs::access(&here, needed).err()?;
    Some(format!("{what}: {} is not writable ({error}); {advice}", here.display()))
}

fn look_at_users(config: &Config) -> Option<String> {
    let error = users::load(config.auth.scram_file.as_ref()?).err()?;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("auth.scram_file: {error}{cause}"))
}

fn look_at_passwords(config: &Config) -> Option<String> {
    let error = passwords::load(config.auth.password_file.as_ref()?, 0).err()?;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("auth.password_file: {error}{cause}"))
}

fn look_at_tokens(config: &Config) -> Option<String> {
    let error = jwt::load(&config.auth.jwt).err()?;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("auth.jwt: {error}{cause}"))
}

/// Its authorities and its secret, and the authorities of where keys of tokens are.
fn look_at_hook(config: &Config) -> Option<String> {
    let hook = Hook::check(&config.auth.http).err();
    let hook = hook.map(|error| ("auth.http", Box::<dyn Error>::from(error)));
    let keys = || {
        let error = jwt::Source::new(&config.auth.jwt).err()?;
        Some(("auth.jwt.jwks_ca_file", Box::<dyn Error>::from(error)))
    };
    let (name, error) = hook.or_else(keys)?;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("{name}: {error}{cause}"))
}

fn look_at_access(config: &Config) -> Option<String> {
    let error = access_file::load(&config.access).err()?;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("access: {error}{cause}"))
}

fn look_at_http(config: &Config) -> Option<String> {
    let http = &config.listener.http;
    http.bind?;
    let error = http::load(http.token_file.as_ref()?).err()?;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("listener.http.token_file: {error}{cause}"))
}

/// Tokens that others on the way could read.
fn look_at_plain_tokens(config: &Config) -> Option<String> {
    let http = &config.listener.http;
    let is_far = http.bind.is_some_and(|address| !address.ip().is_loopback());
    (is_far && !http.is_secret()).then(|| {
        "listener.http has no certificate: tokens cross the network readable; name \
         listener.http.tls.cert_file, or put a proxy with TLS before it"
            .into()
    })
}

/// A port that only says whether the broker runs.
fn look_at_closed_http(config: &Config) -> Option<String> {
    let http = &config.listener.http;
    let is_closed = http.token_file.is_none() && !http.takes_anonymous(&config.auth);
    (http.bind.is_some() && is_closed).then(|| {
        "listener.http answers nobody but to /healthz and /readyz, as the broker has users and \
         this port no tokens: make one with `tidewire token create --role admin --file FILE`, and \
         name the file in listener.http.token_file"
            .into()
    })
}

fn look_at_tls(config: &ListenerConfig) -> Vec<String> {
    let problem = |(name, error): (&str, TlsError)| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("listener.{name}.tls: {error}{cause}")
    };
    ports::unusable(config).into_iter().map(problem).collect()
}

/// Whom root would become, and what that user could not read: a start would say so of the first
/// file only.
fn look_at_runner(config: &Config) -> Vec<String> {
    let Some(said) = &config.system.run_as else { return Vec::new() };
    let runner = match Runner::find(said) {
        Ok(runner) => runner,
        Err(error) => return vec![format!("system.run_as: {said}: {error}")],
    };
    let open = open_tls(&config.listener).into_iter();
    let of_tls = open.flat_map(|tls| {
        let own = [&tls.cert_file, &tls.key_file, &tls.client_ca_file].into_iter().flatten();
        let more = tls.more.iter().flat_map(|pair| [&pair.cert_file, &pair.key_file]);
        own.chain(more).chain(&tls.crl_files)
    });
    let (auth, access) = (&config.auth, &config.access);
    let tokens = &config.listener.http.token_file;
    let others =
        [&auth.scram_file, &auth.password_file, &access.rules_file, &access.mosquitto_file, tokens];
    let (jwt, hook) = (&auth.jwt, &auth.http);
    let of_asking =
        [&jwt.secret_file, &jwt.jwks_file, &jwt.jwks_ca_file, &hook.ca_file, &hook.secret_file];
    let of_links = config.bridge.link.iter().flat_map(|link| {
        [&link.password_file, &link.tls.ca_file, &link.tls.cert_file, &link.tls.key_file]
    });
    let others = others.into_iter().chain(of_asking).chain(of_links).flatten();
    let others = others.chain(files_of_bridges(&config.bridge));
    let all = of_tls.chain(others).chain(&jwt.key_files);
    let unreadable = all.filter(|file| !runner.may_read(file));
    let told = |file: &PathBuf| {
        let file = file.display();
        format!("system.run_as: {said} may not read {file}, which is opened as that user")
    };
    unreadable.map(told).collect()
}

/// Of exports, imports and pushes.
fn files_of_bridges(bridge: &BridgeConfig) -> impl Iterator<Item = &PathBuf> {
    let exports = bridge.export.iter().map(|export| &export.cluster);
    let clusters = exports.chain(bridge.import.iter().map(|import| &import.cluster));
    let of_clusters =
        clusters.flat_map(|it| [&it.ca_file, &it.cert_file, &it.key_file, &it.password_file]);
    let of_pushes = bridge.push.iter().flat_map(|it| {
        [&it.ca_file, &it.cert_file, &it.key_file, &it.authorization_file, &it.secret_file]
    });
    of_clusters.chain(of_pushes).flatten()
}

/// The TLS of listeners that are open.
fn open_tls(config: &ListenerConfig) -> Vec<&TlsConfig> {
    let ListenerConfig { mqtts, wss, kafkas, http, .. } = config;
    let rows = [
        (mqtts.bind, &mqtts.tls),
        (wss.bind, &wss.tls),
        (kafkas.bind, &kafkas.tls),
        (http.bind.filter(|_| http.is_secret()), &http.tls),
    ];
    rows.into_iter().filter(|(bind, _)| bind.is_some()).map(|(_, tls)| tls).collect()
}

/// A key is its owner's secret, or that of a group that was given it.
fn look_at_keys(config: &ListenerConfig) -> Vec<String> {
    let open = open_tls(config).into_iter();
    let keys =
        open.flat_map(|tls| tls.key_file.iter().chain(tls.more.iter().map(|pair| &pair.key_file)));
    let is_public = |key: &&PathBuf| {
        let mode = std::fs::metadata(key).map(|data| data.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o007 != 0)
    };
    let told = |key: &PathBuf| {
        let key = key.display();
        format!("everybody on this machine can read the key {key}: chmod 640 it")
    };
    keys.filter(is_public).map(told).collect()
}

/// The folder itself, or the one in which the first missing part would be made.
fn nearest_existing(dir: &Path) -> PathBuf {
    let existing = dir.ancestors().find(|part| part.exists());
    match existing {
        Some(part) => part.into(),
        // A relative path starts here.
        None => PathBuf::from("."),
    }
}

fn look_at_reach(config: &Config) -> Vec<String> {
    let told = listeners(config).into_iter().filter_map(|row| {
        let Row { name, bind, reach, client_auth, takes_anonymous, .. } = row;
        let is_open = reach.is_some_and(|address| !address.ip().is_loopback());
        let address = bind.filter(|_| is_open && row.who != Who::Certified)?;
        let begin = format!("listener.{name}.bind = {address} is open to the network");
        if takes_anonymous {
            return Some(format!("{begin}, and no password is asked: keep it behind a firewall"));
        }
        // Who comes to the HTTP port beyond this machine brings a token: a rule of the settings.
        let can_sign_in =
            name == "http" || config.auth.has_users() || client_auth == ClientAuth::Optional;
        // Elsewhere the broker does not start.
        (row.behind_proxy && address.ip().is_loopback() && !can_sign_in).then(|| {
            format!(
                "{begin} behind a proxy, and nobody can connect there: name auth.password_file, or \
                 set listener.{name}.anonymous = \"allow\""
            )
        })
    });
    told.collect()
}

fn look_at_files(config: &Config) -> Option<String> {
    let limit = rustix::process::getrlimit(Resource::Nofile).maximum?;
    let needed = u64::from(config.mqtt.connections_max) + OTHER_FILES;
    if limit >= needed {
        return None;
    }
    let warning = format!("mqtt.connections_max needs {needed} open files, the limit is {limit}");
    Some(format!("{warning}: raise it (ulimit -Hn, LimitNOFILE=) or lower connections_max"))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::{
        Anonymous, ClientAuth, Config, ListenerConfig, PermissionsExt, TlsIdentity, closed_doors,
        look, look_at_closed_http, look_at_folder, look_at_keys, look_at_reach, summary,
    };

    #[test]
    fn a_folder_below_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let problem = look_at_folder(&file.join("data")).unwrap();
        assert!(problem.contains("is not a folder"), "{problem}");
        assert!(problem.ends_with("choose another with --data DIR"), "{problem}");
    }

    #[test]
    fn a_folder_that_can_be_made_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("a/b");
        assert_eq!(look_at_folder(&missing), None);
        assert!(!missing.exists());
    }

    #[test]
    fn only_an_address_beyond_this_machine_is_warned_about() {
        let mut config = Config::default();
        assert_eq!(look_at_reach(&config), Vec::<String>::new());
        config.listener.mqtt.bind = Some("0.0.0.0:1883".parse().unwrap());
        assert_eq!(look(&config).problems.len(), 1, "nobody could come");
        config.listener.mqtt.anonymous = Anonymous::Allow;
        assert!(look_at_reach(&config).concat().contains("open to the network"));
        config.listener.mqtt.bind = None;
        config.listener.mqtts.bind = Some("0.0.0.0:8883".parse().unwrap());
        config.listener.mqtts.tls.client_auth = ClientAuth::Optional;
        let told = closed_doors(&config).iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains("listener.mqtts.bind"), "nameless: {told}");
        config.listener.mqtts.tls.identity = TlsIdentity::Cn;
        assert_eq!(look_at_reach(&config), Vec::<String>::new(), "some have certificates");
        config.listener.mqtts.tls.client_auth = ClientAuth::Required;
        assert_eq!(look_at_reach(&config), Vec::<String>::new(), "nobody without a certificate");
    }

    #[test]
    fn a_key_that_everybody_can_read_is_warned_about() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.pem");
        std::fs::write(&key, "").unwrap();
        let mut config = ListenerConfig::default();
        config.mqtts.bind = Some("127.0.0.1:8883".parse().unwrap());
        config.mqtts.tls.key_file = Some(key.clone());
        for (mode, count) in [(0o644, 1), (0o640, 0), (0o600, 0)] {
            std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            assert_eq!(look_at_keys(&config).len(), count, "{mode:o}");
        }
    }

    #[test]
    fn a_port_that_answers_nobody_is_warned_about() {
        let mut config = Config::default();
        assert_eq!(look_at_closed_http(&config), None, "this machine may ask it all");
        config.auth.password_file = Some("passwords".into());
        assert!(look_at_closed_http(&config).expect("closed").contains("token create"));
        config.listener.http.token_file = Some("tokens".into());
        assert_eq!(look_at_closed_http(&config), None);
        config.listener.http.token_file = None;
        config.listener.http.bind = None;
        assert_eq!(look_at_closed_http(&config), None, "it is off");
    }

    #[test]
    fn the_summary_tells_what_is_off() {
        let mut config = Config::default();
        config.listener.mqtt.bind = None;
        assert!(summary(&config).contains("mqtt    off"), "{}", summary(&config));
    }
}
