//! Time that passes while the broker under test is away: another broker's, whose delayed
//! messages are awaited.

use crate::broker::Broker;
use crate::wire::{Publish, Version, Wire};

/// Lets time pass.
#[derive(Debug)]
pub struct Clock {
    wire: Wire,
    _broker: Broker,
}

impl Clock {
    /// Ready to count.
    ///
    /// # Panics
    /// When its broker does not come up.
    #[must_use]
    pub fn start() -> Self {
        let broker = Broker::start();
        let mut wire = Wire::clean(broker.address(), Version::V5, "clock");
        wire.subscribe(1, &[("tick", 0)]);
        Self { wire, _broker: broker }
    }

    /// Waits so many seconds.
    ///
    /// # Panics
    /// When its broker fails.
    pub fn pass(&mut self, seconds: u32) {
        let topic = format!("$delayed/{seconds}/tick");
        self.wire.publish(&Publish::new(&topic, "tick", 0, 0));
        self.wire.receive("tick");
    }
}
