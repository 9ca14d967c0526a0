//! `origins` of the WebSocket listeners: what no browser ever says is a mistake. Lets nobody in.

use super::rules::Breach;

/// Origins of a listener that would never be met.
pub(super) fn check_origins(listener: &str, origins: &[String]) -> Vec<Breach> {
    let wrong = origins.iter().filter_map(|origin| Some((origin, misfit(origin)?)));
    let breach = |(origin, (why, instead)): (&String, (&str, String))| {
        let setting = format!("listener.{listener}.origins");
        let message = format!("`origins`: no browser says {origin:?}: {why}");
        Breach::new(&[&setting], message).hint(format!("write {instead:?}"))
    };
    wrong.map(breach).collect()
}

/// What is wrong with an origin, and what may have been meant.
fn misfit(origin: &str) -> Option<(&'static str, String)> {
    // Of pages that have none, as those from a file.
    if origin == "null" {
        return None;
    }
    let small = origin.trim().to_lowercase();
    let Some((scheme, rest)) = small.split_once("://") else {
        return Some(("it begins with a scheme", format!("https://{small}")));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let port = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => "",
    };
    let plain = if port.is_empty() { host } else { host.strip_suffix(port).unwrap_or(host) };
    let scheme = match scheme {
        "ws" => "http",
        "wss" => "https",
        other => other,
    };
    let meant = format!("{scheme}://{plain}");
    let why = "it is scheme://host or scheme://host:port in small letters, without a path, and \
               without the port that the scheme has by itself";
    (meant != origin).then_some((why, meant))
}

#[cfg(test)]
mod tests {
    use super::{check_origins, misfit};

    #[test]
    fn what_a_browser_says_is_taken_and_anything_else_is_put_right() {
        for good in [
            "https://example.org",
            "http://localhost:8080",
            "http://[::1]:3000",
            "null",
            "moz-extension://3c1a",
            "https://example.org:8443",
        ] {
            assert_eq!(misfit(good), None, "{good}");
        }
        for (wrong, meant) in [
            ("https://Example.org/", "https://example.org"),
            ("https://example.org/app?x#y", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://example.org:80", "http://example.org"),
            ("wss://example.org:443", "https://example.org"),
            (" https://example.org", "https://example.org"),
            ("https://me@example.org", "https://example.org"),
            ("example.org", "https://example.org"),
        ] {
            assert_eq!(misfit(wrong).map(|(_, meant)| meant).as_deref(), Some(meant), "{wrong}");
        }
        let origins = ["https://a.example".into(), "https://A.example".into()];
        assert_eq!(check_origins("wss", &origins).len(), 1);
    }
}
