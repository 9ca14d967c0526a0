//! Enhanced authentication: AUTH packets between CONNECT and CONNACK, and anew later. What is
//! said in them is SCRAM's (`tidewire_proto::scram`). No session is touched before it is done.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidewire_proto::mqtt::{
    Auth, Packet, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode, Version,
};
use tidewire_proto::scram::{Exchange, METHOD, Shown};

use crate::core::connect::REFUSAL_BYTES;
use crate::core::denial::Hearing;
use crate::core::open::{Claim, ConnId, Identity, Login, Phase, Proof};
use crate::core::send::{packet_type, put};
use crate::core::state::Core;
use crate::metrics::{CloseReason, Direction, RefuseReason};

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
        match self.judge(proof, data, is_first) {
            Next::Challenge(proof, challenge) => {
                let Some(conn) = self.conn(id) else { return };
                conn.phase = Phase::Authenticating(Box::new(Login { claim, proof }));
                let reason = ReasonCode::CONTINUE_AUTHENTICATION;
                self.send_auth(id, reason, challenge.as_deref());
            }
            Next::Shown(Shown { user, server_final }) => {
                tracing::debug!(user = &*user, client_id = &*claim.client_id, "authenticated");
                claim.identity = Some(Identity { user, method: METHOD });
                claim.terms.authentication = Some(server_final.into());
                self.claim(id, claim);
            }
            Next::Refused if claim.terms.packet_bytes_max < REFUSAL_BYTES => {
                self.turn_away(id, RefuseReason::NotAuthorized);
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
        let next = self.judge(proof, auth.properties.authentication_data(), is_first);
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
            Next::Shown(_) | Next::Refused => {
                self.close(id, CloseReason::Protocol, Some(ReasonCode::NOT_AUTHORIZED));
            }
        }
    }

    fn judge(&self, proof: Proof, data: Option<&[u8]>, is_first: bool) -> Next {
        let Some(file) = &self.shared.users else { return Next::Refused };
        let step = match (proof, data) {
            (Proof::Awaited, None) if is_first => return Next::Challenge(Proof::Awaited, None),
            (_, None) => return Next::Refused,
            (Proof::Awaited, Some(data)) => {
                let Some(nonce) = nonce() else { return Next::Refused };
                let users = file.users();
                Exchange::begin(data, &nonce, |user| users.find(user)).map(|(exchange, text)| {
                    Next::Challenge(Proof::Challenged(Box::new(exchange)), Some(text))
                })
            }
            (Proof::Challenged(exchange), Some(data)) => exchange.finish(data).map(Next::Shown),
        };
        step.unwrap_or_else(|error| {
            tracing::debug!(%error, "authentication failed");
            Next::Refused
        })
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
