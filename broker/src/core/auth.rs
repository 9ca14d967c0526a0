//! Enhanced authentication: AUTH packets between CONNECT and CONNACK, and anew later. What is
//! said in them is SCRAM's (`tidewire_proto::scram`). No session is touched before it is done.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidewire_proto::mqtt::{
    Auth, Packet, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode, Version,
};
use tidewire_proto::scram::{Exchange, Method, ScramError, Shown};

use crate::core::connect::REFUSAL_BYTES;
use crate::core::denial::Hearing;
use crate::core::identify::TOO_OFTEN;
use crate::core::open::{Claim, ConnId, Identity, Login, METHOD, Phase, Proof};
use crate::core::send::{packet_type, put};
use crate::core::state::Core;
use crate::metrics::{CloseReason, Direction, RefuseReason};
use crate::passwords::Standing;

/// Random bytes of a nonce; as text they take a third more.
const NONCE_BYTES: usize = 18;

/// What follows a step of the client.
enum Next {
    /// Another step, with this challenge.
    Challenge(Proof, Option<String>),
    /// It has shown who it is.
    Shown(Shown),
    /// It has not.
    Refused,
    /// Nobody looks: too many wrong ones came, from there or for that user.
    TooOften,
}

/// Who tries, and when.
#[derive(Clone, Copy)]
struct Try {
    address: Option<IpAddr>,
    now_ms: i64,
}

impl Core {
    /// Whether we have this method.
    pub(crate) fn has_method(&self, method: &str) -> bool {
        method == METHOD && self.shared.users.is_some()
    }

    /// A CONNECT that names our method.
    pub(crate) fn begin_login(&mut self, id: ConnId, claim: Claim, data: Option<&[u8]>) {
        self.log_in(id, claim, Proof::Awaited, data, true);
    }

    /// AUTH before CONNACK.
    pub(crate) fn on_login_auth(&mut self, id: ConnId, auth: &Auth<'_>) {
        let Some(conn) = self.conn(id) else { return };
        let Phase::Authenticating(login) = std::mem::replace(&mut conn.phase, Phase::Closing)
        else {
            return;
        };
        let is_next = auth.reason == ReasonCode::CONTINUE_AUTHENTICATION
            && auth.properties.authentication_method() == Some(METHOD);
        let Login { claim, proof } = *login;
        if !is_next {
            let said = Some(("AUTH is not the next step", claim.terms.hearing(Version::V5)));
            return self.refuse(id, Version::V5, ReasonCode::PROTOCOL_ERROR, said);
        }
        self.log_in(id, claim, proof, auth.properties.authentication_data(), false);
    }

    /// What may be said to a client that authenticates.
    pub(crate) fn hearing_of_login(&mut self, id: ConnId) -> Option<Hearing> {
        match &self.conn(id)?.phase {
            Phase::Authenticating(login) => Some(login.claim.terms.hearing(Version::V5)),
            _ => None,
        }
    }

    fn log_in(
        &mut self,
        id: ConnId,
        mut claim: Claim,
        proof: Proof,
        data: Option<&[u8]>,
        is_first: bool,
    ) {
        let Some(by) = self.try_of(id) else { return };
        match self.judge(proof, data, is_first, by) {
            Next::Challenge(proof, challenge) => {
                let Some(conn) = self.conn(id) else { return };
                conn.phase = Phase::Authenticating(Box::new(Login { claim, proof }));
                let reason = ReasonCode::CONTINUE_AUTHENTICATION;
                self.send_auth(id, reason, challenge.as_deref());
            }
            Next::Shown(Shown { user, server_final }) => {
                tracing::debug!(user = &*user, client_id = &*claim.client_id, "authenticated");
                claim.identity = Some(Identity::plain(user, METHOD));
                claim.terms.authentication = Some(server_final.into());
                self.claim(id, claim);
            }
            Next::Refused if claim.terms.packet_bytes_max < REFUSAL_BYTES => {
                self.turn_away(id, RefuseReason::NotAuthorized);
            }
            Next::TooOften => {
                let no = (ReasonCode::CONNECTION_RATE_EXCEEDED, RefuseReason::Guessing);
                self.refuse_claim(id, &claim, no, TOO_OFTEN);
            }
            // Whoever tries learns nothing more.
            Next::Refused => self.refuse(id, Version::V5, ReasonCode::NOT_AUTHORIZED, None),
        }
    }

    /// AUTH on an open connection: the client authenticates anew.
    pub(crate) fn on_auth(&mut self, id: ConnId, auth: &Auth<'_>) {
        let Some(open) = self.open(id) else { return };
        let method = open.identity.as_ref().map(|identity| identity.method);
        // A certificate is shown once, in the handshake.
        let is_same = method == Some(METHOD) && auth.properties.authentication_method() == method;
        let proof = match (auth.reason, open.proof.take()) {
            (ReasonCode::REAUTHENTICATE, None) if is_same => Some((Proof::Awaited, true)),
            (ReasonCode::CONTINUE_AUTHENTICATION, Some(proof)) if is_same => Some((proof, false)),
            _ => None,
        };
        let Some((proof, is_first)) = proof else {
            return self.close(id, CloseReason::Protocol, Some(ReasonCode::PROTOCOL_ERROR));
        };
        let Some(by) = self.try_of(id) else { return };
        let next = self.judge(proof, auth.properties.authentication_data(), is_first, by);
        let Some(open) = self.open(id) else { return };
        match next {
            Next::Challenge(proof, challenge) => {
                open.proof = Some(proof);
                let reason = ReasonCode::CONTINUE_AUTHENTICATION;
                self.send_auth(id, reason, challenge.as_deref());
            }
            // A session belongs to whom it began with.
            Next::Shown(shown)
                if open.identity.as_ref().is_some_and(|old| old.user == shown.user) =>
            {
                self.send_auth(id, ReasonCode::SUCCESS, Some(&shown.server_final));
            }
            Next::TooOften => {
                self.close(id, CloseReason::Limit, Some(ReasonCode::CONNECTION_RATE_EXCEEDED));
            }
            Next::Shown(_) | Next::Refused => {
                self.close(id, CloseReason::Protocol, Some(ReasonCode::NOT_AUTHORIZED));
            }
        }
    }

    fn try_of(&self, id: ConnId) -> Option<Try> {
        let conn = self.conns.get(id.key as usize).filter(|conn| conn.serial == id.serial)?;
        Some(Try { address: conn.peer.ip(), now_ms: self.shared.clock.elapsed_ms() })
    }

    fn judge(&self, proof: Proof, data: Option<&[u8]>, is_first: bool, by: Try) -> Next {
        let Some(file) = &self.shared.users else { return Next::Refused };
        let step = match (proof, data) {
            (Proof::Awaited, None) if is_first => return Next::Challenge(Proof::Awaited, None),
            (_, None) => return Next::Refused,
            (Proof::Awaited, Some(data)) => {
                let Some(nonce) = nonce() else { return Next::Refused };
                let users = file.users();
                Exchange::begin(data, &nonce, |user| users.find(Method::Sha256, user)).map(
                    |(exchange, text)| {
                        let guesses = self.shared.guesses.lock();
                        match guesses.standing(by.address, exchange.user(), by.now_ms) {
                            Standing::Spent => Next::TooOften,
                            _ => Next::Challenge(Proof::Challenged(Box::new(exchange)), Some(text)),
                        }
                    },
                )
            }
            (Proof::Challenged(exchange), Some(data)) => self.finish(*exchange, data, by),
        };
        step.unwrap_or_else(|error| {
            tracing::debug!(%error, "authentication failed");
            Next::Refused
        })
    }

    /// The client's last message. What it shows takes two hashes: quick enough to hold the count
    /// of guesses meanwhile, so that nobody has more by beginning many exchanges first.
    fn finish(&self, exchange: Exchange, data: &[u8], by: Try) -> Result<Next, ScramError> {
        let mut guesses = self.shared.guesses.lock();
        let user: Box<str> = exchange.user().into();
        if guesses.standing(by.address, &user, by.now_ms) == Standing::Spent {
            return Ok(Next::TooOften);
        }
        let shown = exchange.finish(data);
        if shown.is_err() {
            guesses.spend(by.address, &user, by.now_ms);
        }
        shown.map(Next::Shown)
    }

    fn send_auth(&mut self, id: ConnId, reason: ReasonCode, data: Option<&str>) {
        let mut properties = PropertiesBuilder::new();
        let pushed = properties
            .push(PropertyId::AuthenticationMethod, PropertyValue::Text(METHOD))
            .and_then(|()| match data {
                Some(data) => {
                    let data = PropertyValue::Binary(data.as_bytes());
                    properties.push(PropertyId::AuthenticationData, data)
                }
                None => Ok(()),
            });
        if let Err(error) = pushed {
            tracing::error!(%error, "AUTH cannot be written");
        }
        let packet = Packet::Auth(Auth { reason, properties: properties.as_properties() });
        let Some(conn) = self.conn(id) else { return };
        let bytes_max = match &conn.phase {
            Phase::Authenticating(login) => login.claim.terms.packet_bytes_max,
            Phase::Open(open) => open.terms.packet_bytes_max,
            _ => return,
        };
        let start = conn.out.len();
        put(&packet, Version::V5, &mut conn.out);
        if conn.out.len() - start > bytes_max as usize {
            conn.out.truncate(start);
            return match conn.phase {
                Phase::Open(_) => {
                    self.close(id, CloseReason::Limit, Some(ReasonCode::PACKET_TOO_LARGE));
                }
                _ => self.turn_away(id, RefuseReason::Malformed),
            };
        }
        self.counters.packets.add((packet_type(packet.kind()), Direction::Out), 1);
        self.mark_dirty(id);
    }
}

/// New for each exchange. `None` when the system has no randomness to give.
fn nonce() -> Option<String> {
    let mut bytes = [0; NONCE_BYTES];
    let drawn = getrandom::fill(&mut bytes);
    drawn.inspect_err(|error| tracing::error!(%error, "the system gives no random bytes")).ok()?;
    Some(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Next, Proof, Try};
    use crate::core::alone::Alone;
    use crate::users::{UsersFile, lines};

    /// A core that lets two wrong passwords of a user pass in a minute, and knows ann.
    fn guarded() -> Alone {
        let mut alone = Alone::new(|config| config.auth.wrong_passwords_per_user_max = 2);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        std::fs::write(&path, lines("ann", "pencil", 4_096).expect("a line")).expect("written");
        let shared = Arc::get_mut(&mut alone.core.shared).expect("no other core");
        shared.users = Some(UsersFile::open(&path).expect("a good file"));
        alone
    }

    fn at(now_ms: i64) -> Try {
        Try { address: None, now_ms }
    }

    fn begin(alone: &Alone, user: &str, by: Try) -> Option<Proof> {
        let first = format!("n,,n={user},r=abc");
        match alone.core.judge(Proof::Awaited, Some(first.as_bytes()), true, by) {
            Next::Challenge(proof, Some(_)) => Some(proof),
            _ => None,
        }
    }

    /// Whether a wrong proof was looked at.
    fn guess(alone: &Alone, proof: Proof, by: Try) -> bool {
        let last = b"c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        match alone.core.judge(proof, Some(last), false, by) {
            Next::Refused => true,
            Next::TooOften => false,
            Next::Challenge(..) | Next::Shown(_) => panic!("a wrong proof got somewhere"),
        }
    }

    #[test]
    fn wrong_proofs_count_as_wrong_passwords_however_many_exchanges_are_begun_first() {
        let alone = guarded();
        let begun: Vec<Proof> =
            (0..5).map(|_| begin(&alone, "ann", at(0)).expect("a challenge")).collect();
        let looked: Vec<bool> =
            begun.into_iter().map(|proof| guess(&alone, proof, at(0))).collect();
        assert_eq!(looked, [true, true, false, false, false]);
        assert!(begin(&alone, "ann", at(0)).is_none(), "nor is another begun");
        assert!(begin(&alone, "bob", at(0)).is_some(), "another user is not held back");
        assert!(begin(&alone, "ann", at(30_000)).is_some(), "half a minute fills half");
    }
}
