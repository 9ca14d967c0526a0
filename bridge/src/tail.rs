//! Who waits at the end of which partitions, and how much for. Follows the store; wakes nobody
//! before enough has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_store::{Appended, Follower};
use tokio::sync::Notify;

/// All who wait.
#[derive(Default)]
pub(crate) struct Tail {
    waiting: Mutex<HashMap<PartitionId, Vec<Arc<Waiter>>>>,
}

#[derive(Default)]
struct Waiter {
    /// Bytes that came since it began.
    arrived: AtomicUsize,
    /// It is woken when so many have.
    needed: AtomicUsize,
    enough: Notify,
}

/// One who waits; dropped, it does no longer.
pub(crate) struct Watch<'a> {
    tail: &'a Tail,
    partitions: Vec<PartitionId>,
    waiter: Arc<Waiter>,
}

impl Tail {
    /// From now on what comes to these partitions is counted. To be asked for before they are
    /// read: so nothing falls in between.
    pub(crate) fn watch(&self, partitions: Vec<PartitionId>) -> Watch<'_> {
        let waiter = Arc::new(Waiter::default());
        waiter.needed.store(usize::MAX, Ordering::SeqCst);
        let mut waiting = self.waiting.lock();
        for partition in &partitions {
            waiting.entry(*partition).or_default().push(Arc::clone(&waiter));
        }
        drop(waiting);
        Watch { tail: self, partitions, waiter }
    }

    /// Does nobody wait?
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}

impl Watch<'_> {
    /// Bytes that came so far: to be asked for before reading.
    pub(crate) fn arrived(&self) -> usize {
        self.waiter.arrived.load(Ordering::SeqCst)
    }

    /// Until so many bytes came. May end early, never late.
    pub(crate) async fn until(&self, bytes: usize) {
        self.waiter.needed.store(bytes, Ordering::SeqCst);
        while self.arrived() < bytes {
            self.waiter.enough.notified().await;
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut waiting = self.tail.waiting.lock();
        for partition in &self.partitions {
            if let Some(here) = waiting.get_mut(partition) {
                here.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
                if here.is_empty() {
                    waiting.remove(partition);
                }
            }
        }
    }
}

impl Follower for Tail {
    fn durable(&self, batches: &Arc<[Appended]>) {
        let waiting = self.waiting.lock();
        if waiting.is_empty() {
            return;
        }
        for appended in batches.iter() {
            for waiter in waiting.get(&appended.partition).into_iter().flatten() {
                let bytes = appended.batch.bytes().len();
                let arrived = waiter.arrived.fetch_add(bytes, Ordering::SeqCst) + bytes;
                if arrived >= waiter.needed.load(Ordering::SeqCst) {
                    waiter.enough.notify_one();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::{Appended, Follower};

    use super::Tail;

    fn arrive(tail: &Tail, partition: u32) {
        let mut builder = BatchBuilder::new();
        builder.push(1, None, Some(&[0; 100]), &[]);
        let (partition, batch) = (PartitionId(partition), builder.finish());
        let appended = Appended { partition, base_offset: 0, batch, tag: 0 };
        tail.durable(&Arc::from([appended]));
    }

    #[test]
    fn who_waits_is_woken_when_enough_has_come_where_it_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tail = Tail::default();
        let watch = tail.watch(vec![PartitionId(1), PartitionId(2)]);
        arrive(&tail, 3);
        assert_eq!(watch.arrived(), 0);
        arrive(&tail, 1);
        assert!((100..200).contains(&watch.arrived()));
        runtime.block_on(async {
            watch.until(150).await;
            let ((), ()) = tokio::join!(watch.until(300), async { arrive(&tail, 2) });
        });
        drop(watch);
        assert!(tail.waiting.lock().is_empty());
    }
}
