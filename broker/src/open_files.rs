//! How many files the system lets this program have open, and how many of those connections may
//! take: the store needs some at any time, or what is acknowledged could not be written.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// For the store and whatever else is not a connection: so many, but not more than a third.
const KEPT_BACK: u64 = 1024;

/// Asks the system for as many as it grants: the soft limit is often 1024, for programs of old.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let asked = Rlimit { current: maximum, maximum };
    if let Err(error) = setrlimit(Resource::Nofile, asked) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// Lets no more connections in than there are files for.
pub(crate) fn fit(config: &mut Config) {
    let Some(files) = getrlimit(Resource::Nofile).current else { return };
    let kafka = &config.listener.kafka;
    let has_kafka = kafka.bind.is_some() || config.listener.kafkas.bind.is_some();
    let wanted = Seats {
        mqtt: config.mqtt.connections_max,
        kafka: if has_kafka { kafka.connections_max } else { 0 },
    };
    let seats = seats(&wanted, files);
    if seats.mqtt < wanted.mqtt || seats.kafka < wanted.kafka {
        tracing::warn!(
            open_files = files,
            mqtt = seats.mqtt,
            kafka = seats.kafka,
            "the limit on open files lets in fewer connections than connections_max: raise it \
             (ulimit -Hn, LimitNOFILE=)"
        );
    }
    config.mqtt.connections_max = seats.mqtt;
    if has_kafka {
        config.listener.kafka.connections_max = seats.kafka;
    }
}

/// Connections of each kind.
#[derive(Debug, PartialEq, Eq)]
struct Seats {
    mqtt: u32,
    kafka: u32,
}

fn seats(wanted: &Seats, files: u64) -> Seats {
    let left = files - KEPT_BACK.min(files / 3);
    let at_most = |wanted: u32, left: u64| wanted.min(u32::try_from(left).unwrap_or(u32::MAX));
    // Kafka clients are few; where files are, they have a quarter of them.
    let kafka = at_most(wanted.kafka, left / 4);
    Seats { mqtt: at_most(wanted.mqtt, left - u64::from(kafka)), kafka }
}

#[cfg(test)]
mod tests {
    use super::{Seats, seats};

    #[test]
    fn connections_never_take_the_files_that_the_store_needs() {
        for (files, mqtt, kafka) in [
            (1_000_000, 100_000, 1000),
            (102_024, 100_000, 1000),
            (102_023, 99_999, 1000),
            (1024, 513, 170),
            (300, 150, 50),
            (4, 3, 0),
        ] {
            let given = seats(&Seats { mqtt: 100_000, kafka: 1000 }, files);
            assert_eq!(given, Seats { mqtt, kafka }, "{files} files");
        }
        let without_kafka = seats(&Seats { mqtt: 100_000, kafka: 0 }, 300);
        assert_eq!(without_kafka, Seats { mqtt: 200, kafka: 0 });
    }
}
