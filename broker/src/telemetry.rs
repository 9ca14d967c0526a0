//! Log lines on stderr: for people on a terminal, JSON for machines. Never on stdout.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};

/// The filter of the program's log lines, if they are ours.
static FILTER: OnceLock<SetFilter> = OnceLock::new();

type SetFilter = Box<dyn Fn(&str) + Send + Sync>;

/// Starts logging for the whole program. A second start changes nothing.
pub fn init(log: &LogConfig) {
    let shape = Shape::choose(log.format, std::io::stderr().is_terminal());
    let (subscriber, set_filter) = subscriber(&log.filter, shape, std::io::stderr);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return tracing::debug!("Logging had been started before.");
    }
    // Nobody else had started it.
    let _ = FILTER.set(set_filter);
}

/// Whether log lines are ours: a program around the broker has its own.
pub(crate) fn is_ours() -> bool {
    FILTER.get().is_some()
}

/// Log lines that this filter lets through, and no others, from now on. It is a valid one.
pub(crate) fn set_filter(filter: &str) {
    if let Some(set_filter) = FILTER.get() {
        set_filter(filter);
    }
}

/// Whether to colour what goes to a stream: only for people, and not for those who say no.
#[must_use]
pub fn wants_colours(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Human { colours: bool },
    Json,
}

impl Shape {
    fn choose(format: LogFormat, is_terminal: bool) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Auto if !is_terminal => Self::Json,
            LogFormat::Auto | LogFormat::Human => {
                Self::Human { colours: wants_colours(is_terminal) }
            }
        }
    }
}

type Lines = Box<dyn Subscriber + Send + Sync>;

fn subscriber<W>(filter: &str, shape: Shape, writer: W) -> (Lines, SetFilter)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // The filter was checked with the config; what it does not understand it leaves out.
    let lines = fmt().with_env_filter(EnvFilter::new(filter)).with_writer(writer);
    match shape {
        Shape::Human { colours } => {
            let lines = lines.compact().with_ansi(colours).with_filter_reloading();
            let set_filter = setter(lines.reload_handle());
            (Box::new(lines.finish()), set_filter)
        }
        Shape::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            let lines = lines.with_span_list(false).with_filter_reloading();
            let set_filter = setter(lines.reload_handle());
            (Box::new(lines.finish()), set_filter)
        }
    }
}

fn setter<S: 'static>(handle: Handle<EnvFilter, S>) -> SetFilter {
    Box::new(move |filter| {
        if let Err(error) = handle.reload(EnvFilter::new(filter)) {
            tracing::error!(%error, "the log filter stays as it was");
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{LogFormat, Shape, subscriber};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(filter: &str, shape: Shape) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let (subscriber, _) = subscriber(filter, shape, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(client_id = "esp-12", "Connected.");
            tracing::debug!("Too much for most.");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn auto_is_json_away_from_a_terminal() {
        assert_eq!(Shape::choose(LogFormat::Auto, false), Shape::Json);
        assert!(matches!(Shape::choose(LogFormat::Auto, true), Shape::Human { .. }));
    }

    #[test]
    fn a_named_format_overrides_the_terminal() {
        assert_eq!(Shape::choose(LogFormat::Json, true), Shape::Json);
        let plain = Shape::Human { colours: false };
        assert_eq!(Shape::choose(LogFormat::Human, false), plain);
    }

    #[test]
    fn json_is_one_object_per_line_with_the_fields_at_its_top() {
        let lines = lines("info", Shape::Json);
        let line: serde_json::Value = serde_json::from_str(lines.trim()).unwrap();
        assert_eq!(line["client_id"], "esp-12");
        assert_eq!(line["message"], "Connected.");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn human_lines_carry_no_escapes_without_colours() {
        let lines = lines("info", Shape::Human { colours: false });
        assert!(lines.contains("INFO") && lines.contains("client_id=\"esp-12\""), "{lines}");
        assert!(!lines.contains('\u{1b}'), "{lines}");
    }

    #[test]
    fn another_filter_holds_at_once() {
        for shape in [Shape::Json, Shape::Human { colours: false }] {
            let sink = Sink::default();
            let writer = sink.clone();
            let (subscriber, set_filter) = subscriber("error", shape, move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!("before");
                set_filter("info");
                tracing::info!("after");
            });
            let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
            assert!(text.contains("after") && !text.contains("before"), "{text}");
        }
    }

    #[test]
    fn the_filter_decides_what_is_told() {
        let shape = Shape::Human { colours: false };
        assert!(lines("debug", shape).contains("Too much"));
        assert_eq!(lines("error", shape), "");
    }
}
