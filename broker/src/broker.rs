//! The broker as a part of another program: start it, publish, subscribe, shut it down. All that
//! it does for the program goes the way of any client; see docs/decisions/0008-embedding.md.

mod admin;
mod builder;
mod door;
mod message;
mod pipe;
mod publisher;
mod subscribe;
mod subscription;

use std::fmt;
use std::net::SocketAddr;

use parking_lot::Mutex;
use tidewire_bridge::bridges::{
    Order as BridgeOrder, OrderError as BridgeOrderError, Status as BridgeStatus,
};
use tokio::sync::{mpsc, oneshot};

use crate::access_file::AccessFile;
use crate::ban::{Ban, BanTarget};
use crate::banner::{BoundListener, Protocol};
use crate::core::shared::wall_clock_ms;
use crate::error::{AdminError, PublishError, StartError, StopError};

pub use builder::Builder;
pub use message::Message;
pub use subscribe::Subscribe;
pub use subscription::{Received, Subscription, SubscriptionEnd};

use door::Door;
use pipe::has_failed;
use publisher::{Job, Publisher};

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
    publisher: Mutex<Option<Publisher>>,
}

impl Broker {
    /// A broker that listens nowhere and keeps its messages where it is told.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The ports that are open, as the system gave them.
    #[must_use]
    pub fn listeners(&self) -> &[BoundListener] {
        &self.door.listeners
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
        let mut listeners = self.door.listeners.iter();
        let found = listeners.find(|listener| listener.protocol == protocol);
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
        let jobs = self.publisher_jobs()?;
        let (answer, answered) = oneshot::channel();
        let job = Job { message, answer };
        jobs.send(job).await.map_err(|_| PublishError::Stopped)?;
        answered.await.unwrap_or(Err(PublishError::Stopped))
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
        if let Some(watch) = &self.door.cert_watch {
            watch.reload();
        }
    }

    /// Has all files read anew that are read while the broker runs: certificates, soon, and those
    /// of users and rules, before this returns. Of files that cannot be used nothing is taken.
    pub fn reload_files(&self) {
        self.reload_certificates();
        let shared = &self.door.shared;
        if let Some(users) = &shared.users {
            users.reload();
        }
        if let Some(chain) = &shared.chain {
            chain.reload();
        }
        if shared.access.as_ref().is_some_and(AccessFile::reload) {
            shared.tell_rules();
        }
    }

    /// How its bridges are, in the order of the configuration.
    #[must_use]
    pub fn bridges(&self) -> Vec<BridgeStatus> {
        self.door.bridges.statuses()
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
        let publisher = self.publisher.lock().take();
        if let Some(Publisher { jobs, task }) = publisher {
            drop(jobs);
            // A failed broker answers nobody.
            tokio::select! {
                _ = task => (),
                () = self.failed() => (),
            }
        }
        self.door.shut().await
    }

    /// The publisher is made when it is first needed, and again when its connection was ended.
    fn publisher_jobs(&self) -> Result<mpsc::Sender<Job>, PublishError> {
        let mut publisher = self.publisher.lock();
        if let Some(Publisher { jobs, .. }) = publisher.as_ref().filter(|it| !it.jobs.is_closed()) {
            return Ok(jobs.clone());
        }
        let made = Publisher::start(&self.door.shared, &self.door.runtime)
            .map_err(|_| PublishError::Stopped)?;
        let jobs = made.jobs.clone();
        *publisher = Some(made);
        Ok(jobs)
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
        Ok(Broker { door, publisher: Mutex::new(None) })
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

    use super::{Broker, Message};
    use crate::core::inbox::Event;
    use crate::error::{AdminError, PublishError, StopError, SubscribeError};

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
        tokio::time::timeout(Duration::from_secs(20), calls).await.expect("an answer");
        assert!(matches!(broker.shutdown().await, Err(StopError::Panicked)));
    }
}
