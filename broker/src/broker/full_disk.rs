//! A broker whose disk is full: what it can still promise, it does. Nothing here is for use.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidewire_store::disk::{File, OpenMode};
use tidewire_store::{Disk, RealDisk};
use tokio::task::JoinSet;

use super::{Broker, Builder, Message};
use crate::broker::door::Door;
use crate::error::PublishError;
use crate::{Qos, ReasonCode};

const HOUR: Duration = Duration::from_secs(3600);
/// Sessions that come while the disk is full.
const COMING: usize = 20;
/// Programs that publish meanwhile.
const PUBLISHERS: usize = 16;

/// A real disk on which no file grows while it is full.
#[derive(Debug)]
struct SmallDisk {
    disk: RealDisk,
    is_full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct SmallFile {
    file: Arc<dyn File>,
    is_full: Arc<AtomicBool>,
}

impl SmallFile {
    fn check(&self, bytes: u64) -> io::Result<()> {
        match self.is_full.load(Ordering::Relaxed) && bytes > self.file.len()? {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl Disk for SmallDisk {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(name, mode)?;
        Ok(Arc::new(SmallFile { file, is_full: Arc::clone(&self.is_full) }))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.disk.create_dir(name)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.disk.list(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        self.disk.sync_dir(name)
    }

    fn lock(&self, name: &str) -> io::Result<()> {
        self.disk.lock(name)
    }

    fn random(&self) -> u64 {
        self.disk.random()
    }
}

impl File for SmallFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.check(offset + bytes as u64)?;
        self.file.write_all_at(parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.check(bytes)?;
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.check(bytes)?;
        self.file.allocate(bytes)
    }
}

fn builder(folder: &tempfile::TempDir) -> Builder {
    let builder = Broker::builder().data_folder(folder.path().join("data")).cores(1);
    builder.settings(|config| {
        config.mqtt.packet_bytes_max = 65_536;
        config.store.wal_file_bytes = 1 << 20;
        config.store.wal_bytes_max = 4 << 20;
    })
}

async fn refused(broker: &Broker) -> bool {
    let message = Message::new("large", vec![b'x'; 20_000]).qos(Qos::AtLeastOnce);
    match broker.publish(message).await {
        Ok(()) => false,
        Err(PublishError::Refused(ReasonCode::QUOTA_EXCEEDED)) => true,
        Err(error) => panic!("{error}"),
    }
}

async fn publish(broker: &Broker, payload: impl Into<String>) {
    let message = Message::new("kept", payload.into()).qos(Qos::AtLeastOnce);
    broker.publish(message).await.expect("there is room");
}

/// What comes while others publish what is refused: sessions, subscriptions, acknowledgements.
async fn come_and_read(broker: &Broker) {
    let reader = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable("reader", HOUR);
    let mut reader = reader.manual_acknowledgement().await.expect("its session is taken up");
    for number in 0..COMING {
        let received = reader.next().await.expect("it was kept");
        assert_eq!(received.message.payload, number.to_string().as_bytes());
        reader.acknowledge(&received);
        let name = format!("coming-{number}");
        let other = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable(name, HOUR);
        other.await.expect("its session is new").close().await;
    }
    reader.close().await;
}

#[tokio::test]
async fn a_full_disk_refuses_messages_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_full = Arc::new(AtomicBool::new(false));
    let mut plan = builder(&folder).plan().expect("a plan");
    let disk = RealDisk::new(&plan.config.data.dir);
    plan.disk = Arc::new(SmallDisk { disk, is_full: Arc::clone(&is_full) });
    let door = Door::open(plan).await.expect("it starts");
    let broker = Broker { door, publisher: Mutex::new(None) };
    let reader = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable("reader", HOUR);
    reader.await.expect("a session").close().await;
    for number in 0..COMING {
        publish(&broker, number.to_string()).await;
    }
    is_full.store(true, Ordering::Relaxed);
    while !refused(&broker).await {}
    let broker = Arc::new(broker);
    let mut noise = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let broker = Arc::clone(&broker);
        noise.spawn(async move { while refused(&broker).await {} });
    }
    come_and_read(&broker).await;
    assert!(noise.try_join_next().is_none(), "the disk is full until here");
    is_full.store(false, Ordering::Relaxed);
    while let Some(ended) = noise.join_next().await {
        ended.expect("there is room again");
    }
    let broker = Arc::into_inner(broker).expect("nobody else has it");
    broker.shutdown().await.expect("a clean end");

    let broker = builder(&folder).start().await.expect("it starts");
    publish(&broker, "after").await;
    let reader = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable("reader", HOUR);
    let mut reader = reader.await.expect("its session");
    let received = reader.next().await.expect("it was kept");
    assert_eq!(received.message.payload, b"after"[..], "the others were acknowledged");
    for number in 0..COMING {
        let name = format!("coming-{number}");
        let other = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable(name, HOUR);
        assert!(other.await.expect("its session").was_present(), "{number}");
    }
}
