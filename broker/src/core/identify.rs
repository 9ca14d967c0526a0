//! Who a client is, by user name and password or a token, or that it may come without. Nothing of
//! its session is touched here.

use std::sync::Arc;

use tidewire_proto::mqtt::{ReasonCode, Version};

use crate::chain::Chain;
use crate::core::connect::REFUSAL_BYTES;
use crate::core::inbox::Event;
use crate::core::open::{Claim, ConnId, Identity, Phase};
use crate::core::state::Core;
use crate::link::Peer;
use crate::metrics::RefuseReason;
use crate::passwords::{About, Question, Shown, Verdict};

/// To whom has no more guesses for now.
pub(crate) const TOO_OFTEN: &str = "too many wrong passwords came: try again in a minute";

/// What a client hears, and what it is counted as.
type No = (ReasonCode, RefuseReason, &'static str);

impl Core {
    /// A CONNECT without an Authentication Method.
    pub(crate) fn identify(&mut self, id: ConnId, claim: Claim, password: Option<&[u8]>) {
        let Some(conn) = self.conn(id) else { return };
        let (peer, door) = (conn.peer, conn.door);
        if peer == Peer::InProcess {
            return self.claim(id, claim);
        }
        let shared = Arc::clone(&self.shared);
        let is_shown = claim.identity.is_some();
        let says_who = claim.user.is_some() || password.is_some();
        match &shared.chain {
            Some(chain) if is_shown && chain.asks_for_certificates() => {
                self.ask(id, claim, password.unwrap_or_default(), chain);
            }
            _ if is_shown => self.claim(id, claim),
            Some(chain) if says_who => {
                self.ask(id, claim, password.unwrap_or_default(), chain);
            }
            _ if door.takes_anonymous => self.claim(id, claim),
            _ => {
                let no = (ReasonCode::NOT_AUTHORIZED, RefuseReason::NotAuthorized);
                self.refuse_claim(id, &claim, no, "clients must say here who they are");
            }
        }
    }

    fn ask(&mut self, id: ConnId, mut claim: Claim, password: &[u8], chain: &Chain) {
        let Some(conn) = self.conn(id) else { return };
        let address = conn.peer.ip();
        let user = claim.user.clone().unwrap_or_default();
        let asker = Arc::new(());
        let waits = Arc::downgrade(&asker);
        let about = About {
            client_id: Arc::clone(&claim.client_id),
            listener: conn.door.listener,
            protocol: match claim.version {
                Version::V5 => "mqtt5",
                Version::V311 => "mqtt311",
                Version::V31 => "mqtt31",
            },
            certificate: claim.identity.as_ref().map(|identity| identity.user.clone()),
            is_token: false,
        };
        let question = Question { user, password: password.into(), address, asker: waits, about };
        claim.asker = Some(asker);
        // It is read from meanwhile: a client that goes away is to be noticed, and forgotten.
        conn.phase = Phase::Checking(Box::new(claim));
        let inbox = Arc::clone(&self.inbox);
        let answer = Box::new(move |verdict| inbox.push(Event::Checked(id, verdict)));
        let now_ms = self.shared.clock.elapsed_ms();
        if let Some(verdict) = chain.ask(question, now_ms, answer) {
            self.on_checked(id, verdict);
        }
    }

    /// A password was checked, or could not be.
    pub(crate) fn on_checked(&mut self, id: ConnId, verdict: Verdict) {
        let Some(conn) = self.conn(id) else { return };
        let peer = conn.peer;
        let Phase::Checking(claim) = std::mem::replace(&mut conn.phase, Phase::Closing) else {
            return;
        };
        let mut claim = *claim;
        claim.asker = None;
        let (reason, counted, words) = match verdict {
            Verdict::Right(shown) => {
                claim.identity = Some(identity(claim.identity.as_ref(), shown));
                return self.claim(id, claim);
            }
            Verdict::Ignored if claim.identity.is_some() => return self.claim(id, claim),
            no => {
                let now_ms = self.shared.clock.elapsed_ms();
                let is_news = matches!(no, Verdict::Wrong(_) | Verdict::Unavailable(_));
                let chain = self.shared.chain.as_ref().filter(|_| is_news);
                let may_tell = chain.is_some_and(|chain| chain.may_tell(now_ms));
                tell(&claim, peer, &no, may_tell);
                if let Some(named) = self.conn(id).and_then(|conn| conn.named.as_mut()) {
                    named.is_told = is_news;
                }
                heard(&no)
            }
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

/// Who a client is after somebody was asked; a certificate that it has shown says it before.
fn identity(certified: Option<&Identity>, shown: Shown) -> Identity {
    let Shown { user, method, vouched, until_ms } = shown;
    let (user, method) = match certified {
        Some(certified) => (certified.user.clone(), certified.method),
        None => (user, method),
    };
    Identity { user, method, vouched, until_ms }
}

/// What a client hears. Why exactly it is wrong is nothing for who guesses.
const fn heard(no: &Verdict) -> No {
    match no {
        Verdict::Right(_) | Verdict::Ignored | Verdict::Wrong(_) => (
            ReasonCode::BAD_USER_NAME_OR_PASSWORD,
            RefuseReason::NotAuthorized,
            "user name or password is wrong",
        ),
        Verdict::TooOften => {
            (ReasonCode::CONNECTION_RATE_EXCEEDED, RefuseReason::Guessing, TOO_OFTEN)
        }
        Verdict::Busy => {
            (ReasonCode::SERVER_BUSY, RefuseReason::Busy, "too many passwords are being checked")
        }
        Verdict::Unavailable(_) => (
            ReasonCode::SERVER_UNAVAILABLE,
            RefuseReason::Unavailable,
            "passwords cannot be checked at the moment",
        ),
    }
}

/// For who looks after clients.
fn tell(claim: &Claim, peer: Peer, no: &Verdict, may_tell: bool) {
    let (client_id, user) = (&*claim.client_id, claim.user.as_deref().unwrap_or_default());
    match no {
        Verdict::Wrong(why) if may_tell => {
            tracing::info!(client_id, user, %peer, why = &**why, "sign-in refused");
        }
        Verdict::Unavailable(why) if may_tell => {
            tracing::warn!(client_id, user, %peer, why = &**why, "sign-in cannot be checked");
        }
        no => tracing::debug!(client_id, user, %peer, ?no, "sign-in not looked at"),
    }
}
