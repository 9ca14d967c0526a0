//! A client that signs in: SaslHandshake names the mechanism, SaslAuthenticate goes on until it is
//! shown who the client is. Sends nothing itself, and hashes nothing.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use tidewire_proto::scram::{Exchange, Method};
use tokio::sync::oneshot;

use crate::gate::{Gate, Login, Mechanism, Shown, Verdict};
use crate::text::spoken;
use crate::wire::Refusal;

/// Random bytes of a nonce; as text they take twice as many.
const NONCE_BYTES: usize = 18;
/// Longest user name that is looked at, in bytes.
const USER_BYTES_MAX: usize = 1_024;
/// Whoever tries learns nothing more.
const WRONG: &str = "user name or password is wrong";

/// How far a client has come.
#[derive(Default)]
pub(crate) enum SignIn {
    /// It has named no mechanism.
    #[default]
    Begun,
    /// It has, and shown nothing.
    Named(Mechanism),
    /// It has our challenge.
    Challenged(Box<Exchange>),
}

/// Who signs in, as far as is known without its help.
#[derive(Clone, Copy)]
pub(crate) struct Stranger<'a> {
    pub(crate) address: IpAddr,
    /// What it calls itself.
    pub(crate) client_id: &'a str,
    /// Where it came in.
    pub(crate) listener: &'static str,
}

/// What comes of a step.
pub(crate) enum Next {
    /// Another step.
    More,
    /// It has shown who it is.
    Shown(Shown),
    /// It has not: the answer is sent, and the connection closed.
    Over(Refusal),
}

/// Why a step is refused.
struct No(ResponseError, Refusal, &'static str);

const FAILED: No = No(ResponseError::SaslAuthenticationFailed, Refusal::NotAuthorized, WRONG);

impl SignIn {
    /// SaslHandshake. A mechanism that is not there may be followed by one that is.
    pub(crate) fn name(
        &mut self,
        gate: &dyn Gate,
        request: &SaslHandshakeRequest,
    ) -> SaslHandshakeResponse {
        let there = gate.mechanisms();
        let words = there.iter().map(|mechanism| spoken(mechanism.word())).collect();
        let answer = SaslHandshakeResponse::default().with_mechanisms(words);
        if !matches!(self, Self::Begun) {
            return answer.with_error_code(ResponseError::IllegalSaslState.code());
        }
        match there.into_iter().find(|mechanism| *mechanism.word() == *request.mechanism) {
            Some(mechanism) => {
                *self = Self::Named(mechanism);
                answer
            }
            None => answer.with_error_code(ResponseError::UnsupportedSaslMechanism.code()),
        }
    }

    /// SaslAuthenticate.
    pub(crate) async fn show(
        &mut self,
        gate: &dyn Gate,
        who: Stranger<'_>,
        request: &SaslAuthenticateRequest,
    ) -> (SaslAuthenticateResponse, Next) {
        let said = &request.auth_bytes;
        let step = match std::mem::take(self) {
            Self::Begun => Err(No(
                ResponseError::IllegalSaslState,
                Refusal::NotSignedIn,
                "SaslHandshake comes first",
            )),
            Self::Named(Mechanism::Plain) => plain(gate, who, said).await,
            Self::Named(Mechanism::Bearer) => bearer(gate, who, said).await,
            Self::Named(Mechanism::Scram(method)) => match challenge(gate, method, said) {
                Ok((exchange, text)) => {
                    *self = Self::Challenged(Box::new(exchange));
                    Ok((text, Next::More))
                }
                Err(no) => Err(no),
            },
            Self::Challenged(exchange) => prove(gate, who.address, *exchange, said),
        };
        let answer = SaslAuthenticateResponse::default().with_error_message(None);
        match step {
            Ok((text, next)) => (answer.with_auth_bytes(text.into_bytes().into()), next),
            Err(No(error, refusal, words)) => {
                let answer = answer.with_error_code(error.code());
                (answer.with_error_message(Some(spoken(words))), Next::Over(refusal))
            }
        }
    }
}

/// SaslHandshake of who is signed in, or has gone on without.
pub(crate) fn handshake_out_of_place() -> SaslHandshakeResponse {
    SaslHandshakeResponse::default().with_error_code(ResponseError::IllegalSaslState.code())
}

/// SaslAuthenticate of the same.
pub(crate) fn authenticate_out_of_place() -> SaslAuthenticateResponse {
    SaslAuthenticateResponse::default()
        .with_error_code(ResponseError::IllegalSaslState.code())
        .with_error_message(Some(spoken("whoever is here has begun as who it is")))
}

async fn plain(gate: &dyn Gate, who: Stranger<'_>, said: &[u8]) -> Result<(String, Next), No> {
    let (user, password) = parse_plain(said).ok_or(FAILED)?;
    let shown = look(gate, who, (Mechanism::Plain, user), password).await?;
    Ok((String::new(), Next::Shown(shown)))
}

async fn bearer(gate: &dyn Gate, who: Stranger<'_>, said: &[u8]) -> Result<(String, Next), No> {
    let (acts_for, token) = parse_bearer(said).ok_or(FAILED)?;
    let shown = look(gate, who, (Mechanism::Bearer, ""), token.as_bytes()).await?;
    if !acts_for.is_empty() && acts_for != &*shown.user {
        return Err(FAILED);
    }
    Ok((String::new(), Next::Shown(shown)))
}

/// Has a password or a token looked at.
async fn look(
    gate: &dyn Gate,
    who: Stranger<'_>,
    (mechanism, user): (Mechanism, &str),
    password: &[u8],
) -> Result<Shown, No> {
    // Gone with this future, when the connection is.
    let here = Arc::new(());
    let asker = Arc::downgrade(&here);
    let Stranger { address, client_id, listener } = who;
    let (user, password, client_id) = (user.into(), password.into(), client_id.into());
    let login = Login { mechanism, user, password, address, client_id, listener, asker };
    let (to, from) = oneshot::channel();
    let tell = move |verdict| {
        // Without a receiver the client is gone.
        let _ = to.send(verdict);
    };
    let verdict = match gate.check(login, Box::new(tell)) {
        Some(verdict) => verdict,
        None => from.await.unwrap_or(Verdict::Unavailable),
    };
    judged(verdict)
}

/// Whom the client acts for, and its token (RFC 7628): `n,a=USER,^Aauth=Bearer TOKEN^A^A`.
fn parse_bearer(said: &[u8]) -> Option<(&str, &str)> {
    let (head, rest) = std::str::from_utf8(said).ok()?.split_once('\u{1}')?;
    let acts_for = match head.strip_prefix("n,")?.strip_suffix(',')? {
        "" => "",
        named => named.strip_prefix("a=").filter(|user| user.len() <= USER_BYTES_MAX)?,
    };
    let pairs = rest.strip_suffix("\u{1}\u{1}")?.split('\u{1}');
    let mut tokens = pairs.filter_map(|pair| pair.strip_prefix("auth="));
    let (scheme, token) = tokens.next()?.split_once(' ')?;
    let is_one = scheme.eq_ignore_ascii_case("bearer") && tokens.next().is_none();
    is_one.then(|| (acts_for, token.trim_start()))
}

/// Whom the client acts for, who it is, its password.
fn parse_plain(said: &[u8]) -> Option<(&str, &[u8])> {
    let mut parts = said.split(|byte| *byte == 0);
    let (acts_for, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let is_itself = acts_for.is_empty() || acts_for == user;
    let is_whole = parts.next().is_none() && (1..=USER_BYTES_MAX).contains(&user.len());
    let user = std::str::from_utf8(user).ok().filter(|_| is_itself && is_whole)?;
    Some((user, password))
}

fn challenge(gate: &dyn Gate, method: Method, said: &[u8]) -> Result<(Exchange, String), No> {
    let nonce = nonce().ok_or_else(|| unavailable("nothing random can be drawn"))?;
    let users = gate.users().ok_or_else(|| unavailable("users cannot be looked up"))?;
    Exchange::begin(said, &nonce, |user| users.find(method, user)).map_err(|error| {
        tracing::debug!(%error, "a client of the Kafka port does not sign in");
        FAILED
    })
}

fn prove(
    gate: &dyn Gate,
    address: IpAddr,
    exchange: Exchange,
    said: &[u8],
) -> Result<(String, Next), No> {
    let user: Box<str> = exchange.user().into();
    if !gate.may_try(address, &user) {
        return judged(Verdict::TooOften).map(|shown| (String::new(), Next::Shown(shown)));
    }
    let shown = exchange.finish(said).map_err(|error| {
        tracing::debug!(%error, "a client of the Kafka port does not sign in");
        gate.was_wrong(address, &user);
        FAILED
    })?;
    Ok((shown.server_final, Next::Shown(Shown::plain(user))))
}

/// What cannot be looked at is not wrong: clients try again by themselves.
fn judged(verdict: Verdict) -> Result<Shown, No> {
    let later = ResponseError::BrokerNotAvailable;
    match verdict {
        Verdict::Right(shown) => Ok(shown),
        Verdict::Wrong => Err(FAILED),
        Verdict::TooOften => Err(No(
            later,
            Refusal::Guessing,
            "too many wrong passwords came: try again in a minute",
        )),
        Verdict::Busy => Err(No(later, Refusal::Busy, "too many passwords are being checked")),
        Verdict::Unavailable => Err(unavailable("passwords cannot be checked at the moment")),
    }
}

const fn unavailable(words: &'static str) -> No {
    No(ResponseError::BrokerNotAvailable, Refusal::Unavailable, words)
}

/// New for each exchange. `None` when the system has no randomness to give.
fn nonce() -> Option<String> {
    let mut random = [0; NONCE_BYTES];
    let drawn = getrandom::fill(&mut random);
    drawn.inspect_err(|error| tracing::error!(%error, "the system gives no random bytes")).ok()?;
    Some(random.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests;
