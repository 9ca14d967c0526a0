//! What a broker is to be, step by step. Starts nothing.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use metrics::Recorder;
use tempfile::TempDir;
use tidewire_store::RealDisk;
use tidewire_store::disk::LayeredDisk;

use crate::bridges;
use crate::broker::door::Plan;
use crate::config::{Config, Sources};
use crate::error::StartError;
use crate::metrics::Counted;
use crate::metrics::exposition::Exposition;
use crate::recovering::Shown;
use crate::reserved::Reserved;

/// What a broker is to be; made by [`Broker::builder`](crate::Broker::builder).
#[must_use = "nothing starts until `start` is awaited"]
pub struct Builder {
    config: Config,
    data: Data,
    recorder: Option<Box<dyn Recorder + Send + Sync>>,
    reserved: Reserved,
    /// Where metrics go that the HTTP port shows, if it is there already.
    exposition: Option<Exposition>,
    sources: Option<Sources>,
    /// Is shown how far the data folder is opened.
    shown: Option<Shown>,
}

/// Where messages are kept.
#[derive(Debug, PartialEq, Eq)]
enum Data {
    Unknown,
    /// As the configuration says.
    Named,
    Temporary,
}

impl Builder {
    pub(super) fn new() -> Self {
        let mut config = Config::default();
        config.listener.mqtt.bind = None;
        config.listener.kafka.bind = None;
        config.listener.http.bind = None;
        let (data, recorder, reserved) = (Data::Unknown, None, Reserved::default());
        Self { config, data, recorder, reserved, exposition: None, sources: None, shown: None }
    }

    /// All settings at once, also the data folder and what listens where; what is said after this
    /// changes them.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self.data = Data::Named;
        self
    }

    /// Changes settings one by one.
    ///
    /// ```no_run
    /// # use tidewire::Broker;
    /// let builder = Broker::builder().settings(|config| config.mqtt.receive_max = 100);
    /// ```
    pub fn settings(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Where everything durable lives. Made if it is missing; one broker at a time.
    pub fn data_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.data.dir = folder.into();
        self.data = Data::Named;
        self
    }

    /// A data folder that is deleted with the broker: for tests and tries.
    pub fn temporary_data(mut self) -> Self {
        self.data = Data::Temporary;
        self
    }

    /// Serves MQTT clients there, too. With port 0 the system chooses one:
    /// [`Broker::mqtt_address`](crate::Broker::mqtt_address) tells which.
    pub fn listen_mqtt(mut self, address: SocketAddr) -> Self {
        self.config.listener.mqtt.bind = Some(address);
        self
    }

    /// Serves Kafka clients there, too. With port 0 the system chooses one:
    /// [`Broker::kafka_address`](crate::Broker::kafka_address) tells which.
    pub fn listen_kafka(mut self, address: SocketAddr) -> Self {
        self.config.listener.kafka.bind = Some(address);
        self
    }

    /// Threads that serve connections; 0 is one per core of the machine.
    pub fn cores(mut self, cores: u16) -> Self {
        self.config.threads.cores = cores;
        self
    }

    /// Where this broker's metrics go. Otherwise they go to the recorder that the program has
    /// installed for itself, if any; brokers that share one count together.
    pub fn recorder(mut self, recorder: impl Recorder + Send + Sync + 'static) -> Self {
        self.recorder = Some(Box::new(recorder));
        self
    }

    /// Where the settings came from: they can be read anew from there.
    pub(crate) fn sources(mut self, sources: Sources) -> Self {
        self.sources = Some(sources);
        self
    }

    /// Who is shown how far the data folder is opened, if that takes long.
    pub(crate) fn shown(mut self, shown: Shown) -> Self {
        self.shown = Some(shown);
        self
    }

    /// Ports that are taken already.
    pub(crate) fn reserved(mut self, reserved: Reserved) -> Self {
        self.reserved = reserved;
        self
    }

    /// What the HTTP port shows is recorded here.
    pub(crate) fn exposition(mut self, exposition: Exposition) -> Self {
        self.exposition = Some(exposition);
        self
    }

    /// Checked as a whole, before anything is opened.
    pub(super) fn plan(self) -> Result<Plan, StartError> {
        let Self { config, data, recorder, reserved, exposition, sources, shown } = self;
        let mut config = config.checked()?;
        let temporary = match data {
            Data::Unknown => return Err(StartError::NoDataFolder),
            Data::Named => None,
            Data::Temporary => {
                let failed = |error| StartError::System("a temporary folder", error);
                let folder = TempDir::with_prefix("tidewire-").map_err(failed)?;
                config.data.dir = folder.path().join("data");
                Some(folder)
            }
        };
        let names = bridges::names(&config);
        let register = || Counted::register(&names);
        let served = config.listener.http.bind.map(|_| exposition.unwrap_or_default());
        let counted = match (recorder, &served) {
            (Some(recorder), _) => metrics::with_local_recorder(&*recorder, register),
            (None, Some(served)) => metrics::with_local_recorder(served, register),
            (None, None) => register(),
        };
        let counted = Counted { served, ..counted };
        let disk = RealDisk::new(&config.data.dir);
        let numbers = Arc::new(counted.metrics.of_disk());
        let disk = Arc::new(LayeredDisk::new(Arc::new(disk), numbers));
        Ok(Plan { config, disk, counted, reserved, sources, shown, temporary })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, data, .. } = self;
        out.debug_struct("Builder")
            .field("config", config)
            .field("data", data)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Builder;
    use crate::error::StartError;

    #[test]
    fn a_broker_without_a_data_folder_is_refused() {
        assert!(matches!(Builder::new().plan(), Err(StartError::NoDataFolder)));
        assert!(Builder::new().data_folder("somewhere").plan().is_ok());
    }

    #[test]
    fn settings_of_a_program_keep_to_the_rules_of_the_file() {
        let refused = |change: fn(&mut crate::config::Config)| {
            let plan = Builder::new().data_folder("somewhere").settings(change).plan();
            plan.err().map(|error| error.to_string()).unwrap_or_default()
        };
        let range = refused(|config| config.mqtt.receive_max = 0);
        assert!(range.contains("`mqtt.receive_max` is to be a whole number from 1"), "{range}");
        let rule = refused(|config| config.store.wal_file_bytes = 1024 * 1024);
        assert!(rule.contains("too small for `mqtt.packet_bytes_max`"), "{rule}");
    }

    #[test]
    fn a_temporary_folder_goes_with_its_plan() {
        let plan = Builder::new().temporary_data().plan().expect("a folder can be made");
        let folder = plan.temporary.as_ref().expect("asked for").path().to_owned();
        assert!(folder.exists() && plan.config.data.dir.starts_with(&folder));
        drop(plan);
        assert!(!folder.exists());
    }
}
