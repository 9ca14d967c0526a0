//! Looks whether files of certificates changed, has them read anew, and tells of what runs out.
//! Opens none of them itself.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::core::shared::{Shared, wall_clock_ms};
use crate::file_watch::Reading;
use crate::metrics::{ReloadResult, TlsFile};
use crate::tls::{Expiry, Slot};

/// How often files are looked at. One that is being written is left alone until it has not
/// changed for so long.
const LOOK: Duration = Duration::from_millis(500);
/// How often what runs out soon is told of.
const REMIND: Duration = Duration::from_secs(12 * 60 * 60);
/// What is soon, in seconds: 30 days.
const SOON_S: i64 = 30 * 86_400;
const DAY_S: i64 = 86_400;

enum Order {
    Reload,
    /// Look at these from now on.
    Watch(Vec<Arc<Slot>>),
    Stop,
}

/// The thread that does it.
pub(crate) struct CertWatch {
    orders: Sender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl CertWatch {
    /// Tells what runs out, then watches.
    pub(crate) fn start(shared: Arc<Shared>, slots: Vec<Arc<Slot>>) -> io::Result<Self> {
        let (orders, from) = channel();
        let thread = std::thread::Builder::new().name("cert-watch".into()).spawn(move || {
            let mut watch = Watch { shared, slots };
            watch.remind();
            watch.run(&from);
        })?;
        Ok(Self { orders, thread: Mutex::new(Some(thread)) })
    }

    /// Has all files read anew, soon.
    pub(crate) fn reload(&self) {
        // Without its thread the broker stops.
        let _ = self.orders.send(Order::Reload);
    }

    /// Has it look at these from now on.
    pub(crate) fn watch(&self, slots: Vec<Arc<Slot>>) {
        // Without its thread the broker stops.
        let _ = self.orders.send(Order::Watch(slots));
    }

    /// Waits for what is under way.
    pub(crate) fn stop(&self) {
        let _ = self.orders.send(Order::Stop);
        if self.thread.lock().take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watch on certificates ended in a panic");
        }
    }
}

struct Watch {
    shared: Arc<Shared>,
    slots: Vec<Arc<Slot>>,
}

impl Watch {
    fn run(&mut self, orders: &Receiver<Order>) {
        let mut reminded = Instant::now();
        loop {
            match orders.recv_timeout(LOOK) {
                Ok(Order::Reload) => {
                    for slot in &self.slots {
                        slot.watch().reload(|is_told| self.reload(slot, is_told));
                    }
                }
                Ok(Order::Watch(slots)) => {
                    let is_new = |slot: &&Arc<Slot>| {
                        !self.slots.iter().any(|known| Arc::ptr_eq(known, slot))
                    };
                    slots.iter().filter(is_new).for_each(|slot| self.remind_of(slot));
                    self.slots = slots;
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.look(),
            }
            if reminded.elapsed() >= REMIND {
                reminded = Instant::now();
                self.remind();
            }
        }
    }

    fn look(&self) {
        let now_s = wall_clock_ms() / 1_000;
        for slot in &self.slots {
            let read = |is_told| self.reload(slot, is_told);
            if slot.is_due(now_s) {
                slot.watch().reload(read);
            } else {
                slot.watch().look(read);
            }
        }
    }

    fn reload(&self, slot: &Slot, is_told: bool) -> Reading {
        let listener = slot.listener().word();
        let (result, reading) = match slot.reload(wall_clock_ms() / 1_000) {
            Ok(()) => {
                tracing::info!(listener, "certificates read anew: new handshakes use them");
                self.remind_of(slot);
                (ReloadResult::Done, Reading::Taken)
            }
            Err(error) => {
                let reading = error.reading();
                if is_told {
                    let (cause, next) = (error.source(), reading.what_next());
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    tracing::error!(
                        listener,
                        "changed certificates cannot be used, those before stay: \
                         {error}{cause}{next}"
                    );
                }
                (ReloadResult::Kept, reading)
            }
        };
        self.shared.metrics.tls_reloads.add(result, 1);
        reading
    }

    fn remind(&self) {
        self.slots.iter().for_each(|slot| self.remind_of(slot));
    }

    fn remind_of(&self, slot: &Slot) {
        let expiries = slot.expiries();
        let listener = slot.listener();
        for file in [TlsFile::Certificate, TlsFile::ClientCa, TlsFile::Crl] {
            let of_file = expiries.iter().filter(|expiry| expiry.file == file);
            let first = of_file.map(|expiry| expiry.at_s).min().unwrap_or(0);
            // Seconds of centuries are exact in it.
            self.shared.metrics.tls_expiry.set((listener, file), first as f64);
        }
        let now_s = wall_clock_ms() / 1_000;
        for expiry in &expiries {
            tell(expiry, listener.word(), now_s);
        }
    }
}

/// What a start or a new file has to say about its end.
fn tell(expiry: &Expiry, listener: &str, now_s: i64) {
    let Expiry { file, path, subject, at_s, .. } = expiry;
    let (path, left_s) = (path.display(), at_s - now_s);
    let days = left_s.div_euclid(DAY_S);
    let what = match file {
        TlsFile::Certificate => "the certificate",
        TlsFile::ClientCa => "the authority of clients",
        TlsFile::Crl => "the list of revoked certificates",
    };
    if left_s < 0 {
        tracing::error!(listener, %path, subject, "{what} has run out, {} days ago", -days - 1);
    } else if left_s < SOON_S {
        tracing::warn!(listener, %path, subject, "{what} runs out in {days} days");
    } else {
        tracing::info!(listener, %path, subject, "{what} is good for {days} days");
    }
}
