//! Who a client is, by user name and password, or that it may come without. Nothing of its session
//! is touched here.

use std::sync::Arc;

use tidewire_proto::mqtt::ReasonCode;

use crate::core::connect::REFUSAL_BYTES;
use crate::core::inbox::Event;
use crate::core::open::{Claim, ConnId, Identity, PASSWORD, Phase};
use crate::core::state::Core;
use crate::link::Peer;
use crate::metrics::RefuseReason;
use crate::passwords::{PasswordDesk, Question, Verdict};

/// To whom has no more guesses for now.
pub(crate) const TOO_OFTEN: &str = "too many wrong passwords came: try again in a minute";

impl Core {
    /// A CONNECT without an Authentication Method.
    pub(crate) fn identify(&mut self, id: ConnId, claim: Claim, password: Option<&[u8]>) {
        let Some(conn) = self.conn(id) else { return };
        let (peer, door) = (conn.peer, conn.door);
        if peer == Peer::InProcess || claim.identity.is_some() {
            return self.claim(id, claim);
        }
        let shared = Arc::clone(&self.shared);
        match &shared.passwords {
            Some(desk) if claim.user.is_some() || password.is_some() => {
                self.ask(id, claim, password.unwrap_or_default(), desk);
            }
            _ if door.takes_anonymous => self.claim(id, claim),
            _ => {
                let no = (ReasonCode::NOT_AUTHORIZED, RefuseReason::NotAuthorized);
                self.refuse_claim(id, &claim, no, "clients must say here who they are");
            }
        }
    }

    fn ask(&mut self, id: ConnId, mut claim: Claim, password: &[u8], desk: &PasswordDesk) {
        let Some(conn) = self.conn(id) else { return };
        let address = conn.peer.ip();
        let user = claim.user.clone().unwrap_or_default();
        let asker = Arc::new(());
        let waits = Arc::downgrade(&asker);
        let question = Question { user, password: password.into(), address, asker: waits };
        claim.asker = Some(asker);
        // It is read from meanwhile: a client that goes away is to be noticed, and forgotten.
        conn.phase = Phase::Checking(Box::new(claim));
        let inbox = Arc::clone(&self.inbox);
        let answer = Box::new(move |verdict| inbox.push(Event::Checked(id, verdict)));
        let now_ms = self.shared.clock.elapsed_ms();
        if let Some(verdict) = desk.ask(question, now_ms, answer) {
            self.on_checked(id, verdict);
        }
    }

    /// A password was checked, or could not be.
    pub(crate) fn on_checked(&mut self, id: ConnId, verdict: Verdict) {
        let Some(conn) = self.conn(id) else { return };
        let Phase::Checking(claim) = std::mem::replace(&mut conn.phase, Phase::Closing) else {
            return;
        };
        let mut claim = *claim;
        claim.asker = None;
        let (reason, counted, words) = match verdict {
            Verdict::Right => {
                let user = claim.user.clone().unwrap_or_default();
                claim.identity = Some(Identity { user, method: PASSWORD });
                return self.claim(id, claim);
            }
            Verdict::Wrong => (
                ReasonCode::BAD_USER_NAME_OR_PASSWORD,
                RefuseReason::NotAuthorized,
                "user name or password is wrong",
            ),
            Verdict::TooOften => {
                (ReasonCode::CONNECTION_RATE_EXCEEDED, RefuseReason::Guessing, TOO_OFTEN)
            }
            Verdict::Busy => (
                ReasonCode::SERVER_BUSY,
                RefuseReason::Busy,
                "too many passwords are being checked",
            ),
            Verdict::Unavailable => (
                ReasonCode::SERVER_UNAVAILABLE,
                RefuseReason::Unavailable,
                "passwords cannot be checked at the moment",
            ),
        };
        self.refuse_claim(id, &claim, (reason, counted), words);
    }

    /// Does not let a client in that was understood.
    pub(crate) fn refuse_claim(
        &mut self,
        id: ConnId,
        claim: &Claim,
        no: (ReasonCode, RefuseReason),
        words: &str,
    ) {
        if claim.terms.packet_bytes_max < REFUSAL_BYTES {
            // Not even that may be said.
            return self.turn_away(id, no.1);
        }
        let hearing = claim.terms.hearing(claim.version);
        self.refuse_counted(id, claim.version, no, Some((words, hearing)));
    }
}
