//! All ports of clients: bound and their certificates read before anything is served, then opened
//! together, with the threads that TLS needs; others opened and closed while they are served.
//! Serves nobody itself.

mod change;
mod gate;
mod wanted;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::banner::BoundListener;
use crate::cert_watch::CertWatch;
use crate::config::{Config, ListenerConfig, TlsConfig};
use crate::core::shared::Shared;
use crate::error::StartError;
use crate::handshakes::Handshakes;
use crate::metrics::TlsListener;
use crate::reserved::Reserved;
use crate::tls::{Slot, TlsError};

pub(crate) use wanted::slot;

use change::{Ready, listen_local};
use gate::{Bound, Gate, LocalBound, LocalGate, Unbound};
use wanted::Wanted;

/// Ports that are bound; nobody is accepted yet.
pub(crate) struct Ports {
    bound: Vec<Bound>,
    local: Option<LocalBound>,
}

/// What is open, as the system gave it, for who may not wait while that changes.
pub(crate) type ShownPorts = Arc<Mutex<Vec<BoundListener>>>;

/// Ports that are open.
pub(crate) struct OpenPorts {
    gates: Vec<Gate>,
    shown: ShownPorts,
    local: Option<LocalGate>,
    tls: Option<Tls>,
    /// The certificates of other ports.
    of_others: Vec<Arc<Slot>>,
    is_closed: bool,
}

/// Other ports, as far as they can be prepared without closing any.
pub(crate) struct OtherPorts {
    ready: Ready,
    tls: Option<Tls>,
}

/// The threads of TLS.
struct Tls {
    handshakes: Arc<Handshakes>,
    watch: Arc<CertWatch>,
}

impl Tls {
    fn start(
        shared: &Arc<Shared>,
        config: &Config,
        slots: Vec<Arc<Slot>>,
    ) -> Result<Self, StartError> {
        let failed = |error| StartError::System("a thread", error);
        let handshakes = Handshakes::start(shared, config.threads.handshakes).map_err(failed)?;
        let watch = CertWatch::start(Arc::clone(shared), slots).map_err(failed)?;
        Ok(Self { handshakes: Arc::new(handshakes), watch: Arc::new(watch) })
    }
}

impl Ports {
    /// Binds what the configuration names.
    pub(crate) fn bind(
        config: &ListenerConfig,
        reserved: &mut Reserved,
    ) -> Result<Self, StartError> {
        let mut bound = Vec::new();
        for wanted in Wanted::all(config) {
            if let Some(unbound) = Unbound::new(wanted)? {
                bound.push(unbound.bind(reserved)?);
            }
        }
        Ok(Self { bound, local: listen_local(config, reserved)? })
    }

    /// Takes clients from now on. The certificates of other ports are watched with these.
    pub(crate) fn open(
        self,
        shared: &Arc<Shared>,
        config: &Config,
        of_others: Vec<Arc<Slot>>,
    ) -> Result<OpenPorts, StartError> {
        let slots = slots(&self.bound, &of_others);
        let tls = match slots.is_empty() {
            true => None,
            false => Some(Tls::start(shared, config, slots)?),
        };
        let (gates, local, shown) = (Vec::new(), None, ShownPorts::default());
        let mut open = OpenPorts { gates, shown, local, tls, of_others, is_closed: false };
        for bound in self.bound {
            open.take_in(bound, shared, config);
        }
        open.local = self.local.map(|local| LocalGate::open(local, shared, config));
        open.show();
        Ok(open)
    }
}

fn slots<'b>(bound: impl IntoIterator<Item = &'b Bound>, more: &[Arc<Slot>]) -> Vec<Arc<Slot>> {
    bound.into_iter().filter_map(|bound| bound.slot.as_ref()).chain(more).map(Arc::clone).collect()
}

impl OpenPorts {
    /// What is open now and later.
    pub(crate) fn shown(&self) -> ShownPorts {
        Arc::clone(&self.shown)
    }

    fn show(&self) {
        *self.shown.lock() = self.gates.iter().map(|gate| gate.shown.clone()).collect();
    }

    /// Who reads certificates anew, if any are in use.
    pub(crate) fn cert_watch(&self) -> Option<Arc<CertWatch>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.watch))
    }

    /// Who does handshakes, if any listener speaks TLS.
    pub(crate) fn handshakes(&self) -> Option<Arc<Handshakes>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.handshakes))
    }

    /// Binds what else there is to be, and reads certificates; closes nothing. Tells all that is
    /// wrong. Needs the runtime around it, as all that follows.
    pub(crate) fn prepare(
        &self,
        shared: &Arc<Shared>,
        old: &ListenerConfig,
        new: &Config,
    ) -> Result<OtherPorts, Vec<StartError>> {
        if self.is_closed {
            let error = std::io::Error::other("the broker stops");
            return Err(vec![StartError::System("other listeners", error)]);
        }
        let ready = Ready::of(&self.gates, self.local.as_ref(), (old, &new.listener))?;
        let late = ready.late.iter().any(|unbound| unbound.slot.is_some());
        let is_secret = late || ready.bound.iter().any(|bound| bound.slot.is_some());
        let tls = match is_secret && self.tls.is_none() {
            true => Some(Tls::start(shared, new, Vec::new()).map_err(|error| vec![error])?),
            false => None,
        };
        Ok(OtherPorts { ready, tls })
    }

    /// Closes those whose address another one is to have, and gives it to that one. When that
    /// fails, they are opened again. Not for a task of the runtime.
    pub(crate) fn make_room(
        &mut self,
        other: &mut OtherPorts,
        shared: &Arc<Shared>,
        old: &Config,
    ) -> Result<(), StartError> {
        let late = std::mem::take(&mut other.ready.late);
        let is_wanted = |port: u16| late.iter().any(|unbound| unbound.address.port() == port);
        let goes = |gate: &mut Gate| {
            let Gate { bound, .. } = gate;
            let is_kept = other.ready.bound.iter().any(|kept| {
                kept.wanted.protocol == bound.wanted.protocol && kept.address == bound.address
            });
            !is_kept && is_wanted(bound.address.port())
        };
        let left: Vec<_> = self.gates.extract_if(.., goes).map(Gate::leave).collect();
        for unbound in late {
            match unbound.bind(&mut Reserved::default()) {
                Ok(bound) => other.ready.bound.push(bound),
                Err(error) => {
                    // What was bound already must not keep them from their addresses.
                    other.ready = Ready::default();
                    left.into_iter().for_each(|unbound| self.open_again(&unbound, shared, old));
                    self.show();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn open_again(&mut self, unbound: &Unbound, shared: &Arc<Shared>, config: &Config) {
        match unbound.bind(&mut Reserved::default()) {
            Ok(bound) => self.take_in(bound, shared, config),
            Err(error) => tracing::error!(%error, "a listener cannot be opened again"),
        }
    }

    /// From now on these are open. Connections of those that are closed go on.
    pub(crate) fn apply(&mut self, other: OtherPorts, shared: &Arc<Shared>, config: &Config) {
        let OtherPorts { ready, tls } = other;
        self.tls = self.tls.take().or(tls);
        let Ready { bound, gone, local, .. } = ready;
        for gate in self.gates.extract_if(.., |gate| {
            let protocol = gate.bound.wanted.protocol;
            gone.contains(&protocol) || bound.iter().any(|it| it.wanted.protocol == protocol)
        }) {
            gate.close();
            if gone.contains(&gate.bound.wanted.protocol) {
                let (listener, address) = (gate.shown.protocol.section(), gate.shown.address);
                tracing::info!(listener, %address, "closed: who is connected stays");
            }
        }
        for bound in bound {
            self.take_in(bound, shared, config);
        }
        if let Some(local) = local {
            self.local.take().inspect(LocalGate::close);
            self.local = local.map(|local| LocalGate::open(local, shared, config));
        }
        self.show();
        if let Some(tls) = &self.tls {
            let bound = self.gates.iter().map(|gate| &gate.bound);
            tls.watch.watch(slots(bound, &self.of_others));
        }
    }

    /// Takes nobody more.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.gates.iter().for_each(Gate::close);
        self.local.iter().for_each(LocalGate::close);
    }

    /// Ends the threads.
    pub(crate) fn stop(&mut self) {
        if let Some(Tls { handshakes, watch }) = &self.tls {
            handshakes.stop();
            watch.stop();
        }
        self.gates.clear();
        self.show();
        self.local = None;
    }

    fn take_in(&mut self, bound: Bound, shared: &Arc<Shared>, config: &Config) {
        let handshakes = self.tls.as_ref().map(|tls| &tls.handshakes);
        let gate = Gate::open(bound, shared, &config.auth, handshakes);
        let (listener, address) = (gate.shown.protocol.section(), gate.shown.address);
        tracing::info!(listener, %address, "listens");
        self.gates.push(gate);
    }
}

/// The TLS listeners that cannot be opened, and why. Binds nothing.
pub(crate) fn unusable(config: &ListenerConfig) -> Vec<(&'static str, TlsError)> {
    let all = Wanted::all(config).into_iter().filter(|wanted| wanted.common.bind.is_some());
    let kafkas = config.kafkas.bind.map(|_| (TlsListener::Kafkas, config.kafkas.tls.clone()));
    let http = config.http.bind.filter(|_| config.http.is_secret());
    let http = http.map(|_| (TlsListener::Http, config.http.tls.clone()));
    let secret = all.filter_map(|wanted| wanted.tls).chain(kafkas).chain(http);
    secret.filter_map(|(listener, tls)| unusable_by(listener, &tls)).collect()
}

/// Those that an older configuration does not have so, of the ports of MQTT.
pub(crate) fn unusable_since(
    old: &ListenerConfig,
    new: &ListenerConfig,
) -> Vec<(&'static str, TlsError)> {
    let old = Wanted::all(old);
    let all = Wanted::all(new).into_iter().filter(|wanted| wanted.common.bind.is_some());
    let other = all.filter(|wanted| !old.contains(wanted)).filter_map(|wanted| wanted.tls);
    other.filter_map(|(listener, tls)| unusable_by(listener, &tls)).collect()
}

fn unusable_by(listener: TlsListener, tls: &TlsConfig) -> Option<(&'static str, TlsError)> {
    let error = slot(listener, tls).err()?;
    Some((listener.word(), error))
}
