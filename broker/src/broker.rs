//! The broker as a part of another program: start it, publish, subscribe, shut it down. All that
//! it does for the program goes the way of any client; see docs/decisions/0008-embedding.md.

pub(crate) mod admin;
mod builder;
mod door;
pub(crate) mod message;
pub(crate) mod pipe;
pub(crate) mod publisher;
mod subscribe;
mod subscription;

use std::fmt;
use std::net::SocketAddr;

use tidewire_bridge::ConsumerGroups;
use tidewire_bridge::bridges::{
    Order as BridgeOrder, OrderError as BridgeOrderError, Status as BridgeStatus,
};

use crate::ban::{Ban, BanTarget};
use crate::banner::{BoundListener, Protocol};
use crate::config::Config;
use crate::core::shared::wall_clock_ms;
use crate::error::{AdminError, PublishError, StartError, StopError};
use crate::reload::{ReloadError, ReloadReport};
use crate::share_lag::{ShareGroupLag, share_groups};

pub use builder::Builder;
pub use message::Message;
pub use subscribe::Subscribe;
pub use subscription::{Received, Subscription, SubscriptionEnd};

use door::Door;
use pipe::has_failed;
use publisher::Publishing;

/// A running broker.
///
/// It has threads and a runtime of its own: its futures can be awaited on any executor, and
/// nothing of the program around it can hold it up. Several may run in one process, each with its
/// own data folder. It installs no signal handler, no logger, no recorder of metrics, and never
/// ends the process.
///
/// Dropped, it stops by itself a little later; [`shutdown`](Self::shutdown) waits for that.
///
/// ```
/// use tidewire::{Broker, Message, Qos};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let broker = Broker::builder().temporary_data().start().await?;
/// let mut readings = broker.subscribe("plant/+/temperature").await?;
///
/// let reading = Message::new("plant/1/temperature", "20.5").qos(Qos::AtLeastOnce);
/// broker.publish(reading).await?; // It is on disk now.
///
/// let received = readings.next().await.expect("the broker runs");
/// assert_eq!(&received.message.payload[..], b"20.5");
/// broker.shutdown().await?;
/// # Ok(())
/// # })
/// # }
/// ```
pub struct Broker {
    door: Door,
    publishing: Publishing,
}

impl Broker {
    /// A broker that listens nowhere and keeps its messages where it is told.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The ports that are open, as the system gave them.
    #[must_use]
    pub fn listeners(&self) -> Vec<BoundListener> {
        let ports = self.door.ports.lock();
        ports.iter().chain(&self.door.of_others).cloned().collect()
    }

    /// Where MQTT clients can connect, if anywhere.
    #[must_use]
    pub fn mqtt_address(&self) -> Option<SocketAddr> {
        self.address_of(Protocol::Mqtt)
    }

    /// Where Kafka clients can connect, if anywhere.
    #[must_use]
    pub fn kafka_address(&self) -> Option<SocketAddr> {
        self.address_of(Protocol::Kafka)
    }

    fn address_of(&self, protocol: Protocol) -> Option<SocketAddr> {
        let found = self.listeners().into_iter().find(|listener| listener.protocol == protocol);
        found.map(|listener| listener.address)
    }

    /// Whether this start made the data folder.
    #[must_use]
    pub fn data_is_new(&self) -> bool {
        self.door.is_new
    }

    /// Publishes a message. At QoS 1 and 2 it is durable when this returns without an error; at
    /// QoS 0 it was handed to the broker. Waits while the broker is behind.
    ///
    /// Many may wait at a time: they share commits. Cancelled, the message may be published or not.
    ///
    /// # Errors
    /// When the message is not valid, the broker refuses it, or stops before it answers.
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        self.publishing.publish(message).await
    }

    /// Messages that match a filter, shared (`$share/…`) or not; await what this returns.
    ///
    /// ```no_run
    /// # async fn example(broker: tidewire::Broker) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let mut orders = broker
    ///     .subscribe("orders/#")
    ///     .durable("billing", hour)
    ///     .manual_acknowledgement()
    ///     .await?;
    /// while let Some(order) = orders.next().await {
    ///     // Book it, then say that it need not come again.
    ///     orders.acknowledge(&order);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, filter: impl Into<String>) -> Subscribe<'_> {
        Subscribe::new(&self.door.shared, &self.door.runtime, filter.into())
    }

    /// Ends the connection of a client; says whether it had one. Its session stays, its will is
    /// published, and it may come back. MQTT 5 clients are told 0x98, administrative action.
    ///
    /// # Errors
    /// When the broker stops meanwhile.
    pub async fn kick(&self, client_id: &str) -> Result<bool, AdminError> {
        let target = BanTarget::Client(client_id.into());
        let count = admin::expel(&self.door.shared, target, "kicked".into()).await?;
        Ok(count > 0)
    }

    /// Shuts clients out, durably: ends the connections of those that are meant, and refuses them
    /// from now on (CONNACK 0x8A, code 5 before MQTT 5). Says how many connections were ended; as
    /// the protocol knows no "banned" for an open connection, they hear 0x98 with the reason.
    /// Clients within this process are never meant. A second ban of the same target replaces it.
    ///
    /// # Errors
    /// When it cannot be made durable; then it is not in force, and what was before still is.
    pub async fn ban(&self, ban: Ban) -> Result<usize, AdminError> {
        admin::ban(&self.door.shared, &ban).await
    }

    /// Lifts a ban; says whether there was one.
    ///
    /// # Errors
    /// When that cannot be made durable; then the ban is still in force.
    pub async fn unban(&self, target: &BanTarget) -> Result<bool, AdminError> {
        admin::unban(&self.door.shared, target).await
    }

    /// The bans that are in force, in no order.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        self.door.shared.bans.list(wall_clock_ms())
    }

    /// Has the files of certificates, authorities and revocations read anew, soon, as if they had
    /// changed. Connections that are open stay; new handshakes use what the files say. Files that
    /// cannot be used are told of in the log, and change nothing.
    pub fn reload_certificates(&self) {
        self.door.reloader.read_certificates();
    }

    /// Has all files read anew that are read while the broker runs: certificates, soon, and those
    /// of users and rules, before this returns. Of files that cannot be used nothing is taken.
    pub fn reload_files(&self) {
        self.door.reloader.read_files();
    }

    /// Takes over other settings, as far as that is possible without a restart, and reads files
    /// of certificates, users and rules anew. The settings are checked as a whole, and applied
    /// as a whole or not at all; what they name (addresses, certificates, rules) is opened before
    /// anything is changed. No connection is ended: those of a listener that is closed go on. It
    /// is done to its end also when this future is dropped.
    ///
    /// # Errors
    /// When a setting is wrong or cannot be applied; then all is as it was.
    pub async fn reload(&self, config: Config) -> Result<ReloadReport, ReloadError> {
        self.door.reloader.reload(config).await
    }

    /// The same with the settings read anew from where they came from: the file, the environment
    /// and the flags of the program `tidewire`.
    ///
    /// # Errors
    /// As [`reload`](Self::reload); and when they came from a program.
    pub async fn reload_sources(&self) -> Result<ReloadReport, ReloadError> {
        self.door.reloader.reload_sources().await
    }

    /// The same; files are read anew even when the settings are wrong.
    ///
    /// # Errors
    /// As [`reload_sources`](Self::reload_sources).
    pub(crate) async fn reload_all(&self) -> Result<ReloadReport, ReloadError> {
        self.door.reloader.reload_all().await
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.door.reloader.config()
    }

    /// How its bridges are, in the order of the configuration.
    #[must_use]
    pub fn bridges(&self) -> Vec<BridgeStatus> {
        self.door.bridges.statuses()
    }

    /// The consumer groups of its Kafka port: how far they are, and their offsets moved. `None`
    /// without that port.
    #[must_use]
    pub fn consumer_groups(&self) -> Option<ConsumerGroups> {
        self.door.consumer_groups.clone()
    }

    /// How far share groups are behind, as of their last commits: the first `max` whose filters are
    /// behind this one, in their order. Reads the log, and may wait for the disk.
    ///
    /// # Errors
    /// When their rows cannot be read.
    pub fn share_groups(
        &self,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<ShareGroupLag>, AdminError> {
        let shared = &self.door.shared;
        let log = (&shared.store, &*shared.forecasts);
        Ok(share_groups(log, (after, max), wall_clock_ms())?)
    }

    /// Gives an order to a bridge and waits until it is carried out; says what was done.
    ///
    /// # Errors
    /// When there is no such bridge, or it could not be carried out.
    pub async fn order_bridge(
        &self,
        name: &str,
        order: BridgeOrder,
    ) -> Result<String, BridgeOrderError> {
        self.door.bridges.order(name, order).await
    }

    /// Waits until the broker ends without being asked to: a part of it panicked. It serves nobody
    /// then, and nothing acknowledged is lost.
    pub async fn failed(&self) {
        has_failed(&mut self.door.shared.failed.subscribe()).await;
    }

    /// Ends it: no new connections, the answers to what was published, clients told and let go,
    /// then the data folder closed.
    ///
    /// # Errors
    /// When the data folder could not be closed cleanly, or a part of the broker had panicked.
    pub async fn shutdown(self) -> Result<(), StopError> {
        if let Some(task) = self.publishing.end() {
            // A failed broker answers nobody.
            tokio::select! {
                _ = task => (),
                () = self.failed() => (),
            }
        }
        drop(self.publishing);
        self.door.shut().await
    }
}

impl Builder {
    /// Starts the broker: its store is open, its ports are bound when this returns.
    ///
    /// # Errors
    /// When a setting is wrong, there is no data folder or another broker has it, or a port cannot
    /// be bound.
    pub async fn start(self) -> Result<Broker, StartError> {
        let door = Door::open(self.plan()?).await?;
        let publishing = Publishing::new(&door.shared, &door.runtime);
        Ok(Broker { door, publishing })
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Broker").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod full_disk;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Broker, Message, Protocol};
    use crate::core::inbox::Event;
    use crate::error::{AdminError, PublishError, StopError, SubscribeError};
    use crate::http_client::{HttpClient, HttpClientOptions, HttpVerb};
    use crate::link::PUBLISHER;

    #[tokio::test]
    async fn nobody_waits_for_a_broker_one_of_whose_cores_panicked() {
        let builder = Broker::builder().temporary_data();
        let builder = builder.settings(|config| config.threads.cores = 2);
        let broker = builder.start().await.unwrap();
        let mut subscription = broker.subscribe("a").await.unwrap();
        for inbox in &broker.door.shared.inboxes {
            inbox.push(Event::Panic);
        }
        let calls = async {
            broker.failed().await;
            while subscription.next().await.is_some() {}
            let message = Message::new("a", "x");
            assert!(matches!(broker.publish(message).await, Err(PublishError::Stopped)));
            let subscribed = broker.subscribe("a").await;
            assert!(matches!(subscribed, Err(SubscribeError::Stopped)));
            assert!(matches!(broker.kick("c").await, Err(AdminError::Stopped)));
        };
        tokio::time::timeout(Duration::from_secs(120), calls).await.expect("an answer");
        assert!(matches!(broker.shutdown().await, Err(StopError::Panicked)));
    }

    #[tokio::test]
    async fn nobody_ends_the_way_by_which_the_program_publishes() {
        let broker = Broker::builder().temporary_data().start().await.unwrap();
        for _ in 0..2 {
            broker.publish(Message::new("a", "x")).await.unwrap();
            assert!(!broker.kick(PUBLISHER).await.unwrap(), "it is nobody's client");
        }
        broker.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn the_http_port_answers_while_listeners_change() {
        let builder = Broker::builder().temporary_data();
        let here = Some(([127, 0, 0, 1], 0).into());
        let broker = builder.settings(|config| config.listener.http.bind = here);
        let broker = broker.start().await.unwrap();
        {
            // As a reload holds it while it opens files and ports.
            let _changing = broker.door.reloader.hold_ports();
            let options = HttpClientOptions {
                is_secret: false,
                ca_file: None,
                shown: None,
                timeout: Duration::from_secs(120),
                connections: 1,
                bytes_max: 1 << 20,
            };
            let http = broker.address_of(Protocol::Http).unwrap();
            let client = HttpClient::new(&options).unwrap();
            let status = format!("http://{http}/api/v1/status");
            let answer = client.ask(HttpVerb::Get, &status, None).unwrap();
            let said = String::from_utf8(answer.body).unwrap();
            assert!(answer.status == 200 && said.contains(&http.to_string()), "{said}");
        }
        broker.shutdown().await.unwrap();
    }
}
