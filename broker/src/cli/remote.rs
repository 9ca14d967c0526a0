//! The HTTP port of a running broker, for commands that ask it: where it is, as whom it is asked,
//! and what it says when it says no. Knows no noun of its API.

mod advice;
mod coded;
mod trouble;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::span;
use crate::config::{Config, HttpUrl, Sources};
use crate::http_client::{
    HttpAnswer, HttpClient, HttpClientError, HttpClientOptions, HttpError, HttpVerb,
};

pub(crate) use advice::Api as ApiAdvice;
pub(crate) use coded::{coded, query};
pub(crate) use trouble::Trouble;

/// Where a token is, if no file is named.
const VARIABLE: &str = "TIDEWIRE_TOKEN";
/// Largest answer, in bytes: a page of a thousand large retained messages fits.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Items of one page.
const PAGE: usize = 500;

/// Which broker, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// The broker's HTTP port, such as https://broker.example:18080; without it, the one of the
    /// configuration.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// A file whose first line is a token; without it, the variable TIDEWIRE_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The authorities to believe, for https://; without it, those of the system.
    #[arg(long, global = true, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Our certificate, for https:// where clients show one.
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// So long an answer may take.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s")]
    #[arg(value_parser = span::parse)]
    timeout: Duration,
    /// One JSON document instead of words.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The API of a broker.
pub(crate) struct Api {
    client: HttpClient,
    base: String,
    bearer: Option<String>,
}

impl Remote {
    /// Nobody is asked yet.
    pub(crate) fn open(&self, sources: &Sources) -> Result<Api, Trouble> {
        let base = base(self.url.as_deref(), sources)?;
        let token = token(self.token_file.as_deref())?;
        let files = (self.cafile.as_deref(), self.cert.as_deref().zip(self.key.as_deref()));
        let options = options(&base, files, self.timeout);
        let client = HttpClient::new(&options);
        let client = client.map_err(|error| {
            let advice = match error {
                HttpClientError::Shown(..) => "--cert and --key that belong together",
                _ => "--cafile FILE",
            };
            Trouble::usage(format!("{}\n  try: {advice}", with_causes(&error)))
        })?;
        if token.is_some() && !base.is_secret() && !base.is_here() && self.url.is_some() {
            eprintln!("warning: the token crosses the network as it is: use https://");
        }
        let bearer = token.map(|token| format!("Bearer {token}"));
        Ok(Api { client, base: base.as_str().to_owned(), bearer })
    }
}

impl Api {
    /// What lies there, if that is granted.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.granted(HttpVerb::Get, path)
    }

    /// Removes it.
    pub(crate) fn delete(&self, path: &str) -> Result<Value, Trouble> {
        self.granted(HttpVerb::Delete, path)
    }

    /// Gives an order.
    pub(crate) fn post(&self, path: &str, order: &Value) -> Result<Value, Trouble> {
        self.granted(HttpVerb::Post(order.to_string().as_bytes()), path)
    }

    /// Gives an order that has no words.
    pub(crate) fn order(&self, path: &str) -> Result<Value, Trouble> {
        self.granted(HttpVerb::Post(&[]), path)
    }

    /// The items of a list, page by page, as long as `keep` wants more of them.
    pub(crate) fn pages(
        &self,
        path: &str,
        said: &[(&str, &str)],
        keep: &mut dyn FnMut(Vec<Value>) -> bool,
    ) -> Result<(), Trouble> {
        self.whole_pages(path, said, &mut |_, items| keep(items))
    }

    /// The same, each page with what it says besides.
    pub(crate) fn whole_pages(
        &self,
        path: &str,
        said: &[(&str, &str)],
        keep: &mut dyn FnMut(&Value, Vec<Value>) -> bool,
    ) -> Result<(), Trouble> {
        let limit = PAGE.to_string();
        let mut cursor: Option<String> = None;
        loop {
            let paged = [("limit", Some(&*limit)), ("cursor", cursor.as_deref())];
            let paged = paged.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let asked: Vec<_> = said.iter().copied().chain(paged).collect();
            let mut page = self.get(&format!("{path}{}", query(&asked)))?;
            let items = match page.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => return Err(self.strange()),
            };
            let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if !keep(&page, items) || next.is_none() {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn granted(&self, verb: HttpVerb<'_>, path: &str) -> Result<Value, Trouble> {
        let header = self.bearer.as_deref().map(|bearer| ("Authorization", bearer));
        let answer = self.client.ask(verb, &format!("{}{path}", self.base), header);
        let HttpAnswer { status, body } = answer.map_err(|error| unreached(&self.base, &error))?;
        let said: Option<Value> = serde_json::from_slice(&body).ok();
        match (status, said) {
            (200, Some(said)) => Ok(said),
            (_, Some(Value::Object(said))) if said.contains_key("code") => {
                let text = |name| said.get(name).and_then(Value::as_str).unwrap_or_default();
                let has_token = self.bearer.is_some();
                let advice = ApiAdvice { status, code: text("code"), has_token };
                let code = Some(text("code").to_owned());
                Err(Trouble { code, ..Trouble::broker(advice.with(text("detail"))) })
            }
            _ => Err(self.strange()),
        }
    }

    fn strange(&self) -> Trouble {
        Trouble::broker(format!(
            "what answers at {} is not the HTTP port of a Tidewire broker of this version\n  \
             try: --url with the address that the broker shows at its start",
            self.base
        ))
    }
}

/// Asks what is open to everybody; of this machine's own port any certificate will do.
pub(crate) struct Probe {
    client: HttpClient,
    base: String,
}

impl Probe {
    /// Nobody is asked yet.
    pub(crate) fn open(
        url: Option<&str>,
        (cafile, shown): Files<'_>,
        timeout: Duration,
        sources: &Sources,
    ) -> Result<Self, Trouble> {
        let base = base(url, sources)?;
        let options = options(&base, (cafile, shown), timeout);
        let client = match url.is_some() || cafile.is_some() {
            true => HttpClient::new(&options),
            false => HttpClient::believing(&options),
        };
        let client = client.map_err(|error| Trouble::usage(with_causes(&error)))?;
        Ok(Self { client, base: base.as_str().to_owned() })
    }

    /// Status and JSON.
    pub(crate) fn ask(&self, path: &str) -> Result<(u16, Value), Trouble> {
        let answer = self.client.ask(HttpVerb::Get, &format!("{}{path}", self.base), None);
        let answer = answer.map_err(|error| unreached(&self.base, &error))?;
        let said = serde_json::from_slice(&answer.body);
        let strange = |_| {
            let base = &self.base;
            Trouble::broker(format!("what answers at {base} is not the HTTP port of a broker"))
        };
        Ok((answer.status, said.map_err(strange)?))
    }
}

/// Authorities to believe; our certificate and its key.
pub(crate) type Files<'a> = (Option<&'a Path>, Option<(&'a Path, &'a Path)>);

fn options<'a>(
    base: &HttpUrl,
    (ca_file, shown): Files<'a>,
    timeout: Duration,
) -> HttpClientOptions<'a> {
    HttpClientOptions {
        is_secret: base.is_secret(),
        ca_file,
        shown,
        timeout,
        connections: 1,
        bytes_max: ANSWER_BYTES_MAX,
    }
}

/// Where the port is: as it is said, or as it is configured.
fn base(url: Option<&str>, sources: &Sources) -> Result<HttpUrl, Trouble> {
    if let Some(url) = url {
        let plain = url.trim_end_matches('/');
        let known = HttpUrl::parse(plain).filter(|_| !plain.contains('?'));
        return known.ok_or_else(|| {
            Trouble::usage(format!("--url {url}: an address such as http://127.0.0.1:18080"))
        });
    }
    let config = Config::load(sources).map_err(|error| Trouble::usage(with_causes(&error)))?;
    let http = &config.listener.http;
    let bind = http.bind.ok_or_else(|| {
        Trouble::usage(
            "listener.http.bind is off: the broker has no HTTP port\n  try: --url URL of another \
             broker, or --http 127.0.0.1:18080 for the broker and here",
        )
    })?;
    if bind.port() == 0 {
        return Err(Trouble::usage(
            "listener.http.bind has port 0: the system chose one\n  try: --url with the address \
             that the broker shows at its start",
        ));
    }
    let scheme = if http.is_secret() { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(bind));
    HttpUrl::parse(&url).ok_or_else(|| Trouble::usage(format!("{url} is no address")))
}

/// Who listens everywhere listens here.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let here: IpAddr = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (here, bind.port()).into()
}

fn token(file: Option<&Path>) -> Result<Option<String>, Trouble> {
    let (text, whence) = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let shown = file.display().to_string();
            let text =
                text.map_err(|error| Trouble::usage(format!("cannot read {shown}: {error}")))?;
            (text, shown)
        }
        None => match std::env::var(VARIABLE) {
            Ok(text) => (text, VARIABLE.into()),
            Err(_) => return Ok(None),
        },
    };
    let token = text.lines().next().unwrap_or_default().trim();
    let is_plain = |c: char| c.is_ascii_graphic();
    match !token.is_empty() && token.chars().all(is_plain) && !token.contains(':') {
        true => Ok(Some(token.to_owned())),
        // What it is instead may be a secret too.
        false => Err(Trouble::usage(format!(
            "{whence} begins with no token\n  try: the line that `tidewire token create` shows, \
             which begins with tw_; the broker's own file has hashes alone"
        ))),
    }
}

fn unreached(base: &str, error: &HttpError) -> Trouble {
    let words = error.to_string();
    Trouble::broker(format!("{base}: {words}\n  try: {}", advice::unreached(&words)))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because: {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base, reachable, token};
    use crate::config::{Flag, Sources};

    fn at(http: &str) -> Sources {
        let value = http.to_owned();
        let flag = Flag { name: "--http", setting: "listener.http.bind", value };
        Sources { flags: vec![flag], ..Sources::default() }
    }

    #[test]
    fn the_port_is_where_it_is_said_or_configured() {
        for (url, http, expected) in [
            (None, "127.0.0.1:7", Some("http://127.0.0.1:7")),
            (None, "127.0.0.1:0", None),
            (None, "off", None),
            (Some("https://a.example:8/"), "off", Some("https://a.example:8")),
            (Some("a.example"), "127.0.0.1:7", None),
            (Some("http://a?b"), "127.0.0.1:7", None),
        ] {
            let found = base(url, &at(http)).ok();
            assert_eq!(found.as_ref().map(|url| url.as_str()), expected, "{url:?} {http}");
        }
        let reached = |bind: &str| reachable(bind.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:7"), "127.0.0.1:7");
        assert_eq!(reached("[::]:7"), "[::1]:7");
        assert_eq!(reached("192.0.2.1:7"), "192.0.2.1:7");
    }

    #[test]
    fn a_token_is_the_first_line_of_its_file_and_no_hash_of_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        for (text, expected) in [
            ("tw_abc\n", Some("tw_abc")),
            ("tw_abc \nmore", Some("tw_abc")),
            ("", None),
            ("\ntw_abc", None),
            ("admin:laptop:hash", None),
            ("two words", None),
        ] {
            std::fs::write(&file, text).expect("written");
            let found = token(Some(&file)).ok().flatten();
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        assert!(token(Some(&folder.path().join("none"))).is_err());
    }
}
