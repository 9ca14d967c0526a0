//! Other listeners than there are: what has to be done, prepared as far as nothing is disturbed.
//! Closes nothing itself.

use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;

use super::gate::{Bound, Gate, LocalBound, LocalGate, Unbound};
use super::wanted::Wanted;
use crate::banner::Protocol;
use crate::config::ListenerConfig;
use crate::error::StartError;
use crate::reserved::Reserved;

/// Everything that is to be different.
#[derive(Default)]
pub(super) struct Ready {
    /// New ones, and those that go on in another way.
    pub(super) bound: Vec<Bound>,
    /// Those whose address another one has that will leave it.
    pub(super) late: Vec<Unbound>,
    pub(super) gone: Vec<Protocol>,
    /// `None`: the socket file stays as it is.
    pub(super) local: Option<Option<LocalBound>>,
}

impl Ready {
    /// Binds what is new and reads certificates. Tells all that is wrong.
    pub(super) fn of(
        gates: &[Gate],
        local: Option<&LocalGate>,
        (old, new): (&ListenerConfig, &ListenerConfig),
    ) -> Result<Self, Vec<StartError>> {
        let mut ready = Self::default();
        let mut wrong = Vec::new();
        let wanted = Wanted::all(new);
        let leaving: Vec<u16> = gates
            .iter()
            .filter(|gate| !wanted.iter().any(|wanted| stays_at(gate, wanted)))
            .map(|gate| gate.bound.address.port())
            .collect();
        for wanted in wanted {
            let gate = gates.iter().find(|gate| gate.bound.wanted.protocol == wanted.protocol);
            if let Err(error) = ready.add(wanted, gate, &leaving) {
                wrong.push(error);
            }
        }
        if let Err(error) = ready.add_local(local, old, new) {
            wrong.push(error);
        }
        if wrong.is_empty() { Ok(ready) } else { Err(wrong) }
    }

    fn add(
        &mut self,
        wanted: Wanted,
        gate: Option<&Gate>,
        leaving: &[u16],
    ) -> Result<(), StartError> {
        if gate.is_some_and(|gate| gate.bound.wanted == wanted) {
            return Ok(());
        }
        let Some(mut unbound) = Unbound::new(wanted)? else {
            self.gone.extend(gate.map(|gate| gate.bound.wanted.protocol));
            return Ok(());
        };
        if let Some(Gate { bound, .. }) = gate {
            unbound.crowd = bound.crowd.clone();
            if bound.wanted.common.bind == unbound.wanted.common.bind {
                // Who is on his way to it gets through.
                let Unbound { wanted, slot, crowd, .. } = unbound;
                let (address, incoming) = (bound.address, Arc::clone(&bound.incoming));
                self.bound.push(Bound { wanted, address, incoming, slot, crowd });
                return Ok(());
            }
        }
        match unbound.bind(&mut Reserved::default()) {
            Ok(bound) => self.bound.push(bound),
            Err(error) if is_taken(&error) && leaving.contains(&unbound.address.port()) => {
                self.late.push(unbound);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add_local(
        &mut self,
        local: Option<&LocalGate>,
        old: &ListenerConfig,
        new: &ListenerConfig,
    ) -> Result<(), StartError> {
        if old.unix == new.unix {
            return Ok(());
        }
        let kept = local.filter(|_| old.unix.path == new.unix.path);
        self.local = Some(match kept {
            Some(LocalGate { bound, .. }) => Some(LocalBound {
                incoming: Arc::clone(&bound.incoming),
                crowd: bound.crowd.clone(),
                file: Arc::clone(&bound.file),
            }),
            None => bind_local(new)?,
        });
        Ok(())
    }
}

/// The socket file that the configuration names.
pub(super) fn bind_local(config: &ListenerConfig) -> Result<Option<LocalBound>, StartError> {
    listen_local(config, &mut Reserved::default())
}

/// The same, if it was not made before.
pub(super) fn listen_local(
    config: &ListenerConfig,
    reserved: &mut Reserved,
) -> Result<Option<LocalBound>, StartError> {
    let Some(socket) = reserved.claim_file(config)? else { return Ok(None) };
    let path = config.unix.path.clone().unwrap_or_default();
    let listening = socket.listen().map_err(|error| StartError::SocketFile(path, error))?;
    Ok(Some(LocalBound::new(listening)))
}

fn stays_at(gate: &Gate, wanted: &Wanted) -> bool {
    let now = &gate.bound.wanted;
    now.protocol == wanted.protocol && now.common.bind == wanted.common.bind
}

fn is_taken(error: &StartError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::AddrInUse)
}
