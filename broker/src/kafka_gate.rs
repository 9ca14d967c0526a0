//! The users of MQTT, for the Kafka port: the same files, threads and limits. Speaks no Kafka.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tidewire_bridge::{Gate, Login, Mechanism, OnVerdict, Shown, Verdict};
use tidewire_proto::scram::{Method, Users};

use crate::core::shared::Shared;
use crate::jwt::looks_like_token;
use crate::passwords::{About, Question, Standing, Verdict as Found};
use crate::wall_clock::wall_clock_ms;

/// Who knows them.
pub(crate) struct UsersGate(pub(crate) Arc<Shared>);

impl Gate for UsersGate {
    fn mechanisms(&self) -> Vec<Mechanism> {
        let chain = self.0.chain.as_ref();
        let plain = chain.iter().map(|_| Mechanism::Plain);
        let tokens = chain.filter(|chain| chain.takes_tokens()).map(|_| Mechanism::Bearer);
        let users = self.users();
        let has = |method: &Method| users.as_ref().is_some_and(|users| users.has(*method));
        let scram = Method::ALL.into_iter().filter(has).map(Mechanism::Scram);
        plain.chain(scram).chain(tokens).collect()
    }

    fn check(&self, login: Login, answer: OnVerdict) -> Option<Verdict> {
        let Some(chain) = &self.0.chain else { return Some(Verdict::Unavailable) };
        let Login { mechanism, user, password, address, client_id, listener, asker } = login;
        if mechanism == Mechanism::Bearer && !looks_like_token(&password) {
            // It is a wrong one, whoever else may know passwords.
            self.was_wrong(address, "");
            return Some(Verdict::Wrong);
        }
        let client_id = Arc::from(client_id);
        let who = Arc::clone(&client_id);
        let about = About { client_id, listener, protocol: "kafka", ..About::default() };
        let question = Question { user, password, address: Some(address), asker, about };
        let now_ms = self.0.clock.elapsed_ms();
        let shared = Arc::clone(&self.0);
        let told = move |found| {
            let now_ms = shared.clock.elapsed_ms();
            tell(&found, &who, address, || {
                shared.chain.as_ref().is_some_and(|chain| chain.may_tell(now_ms))
            });
            verdict(found)
        };
        let tell = told.clone();
        chain.ask(question, now_ms, Box::new(move |found| answer(tell(found)))).map(told)
    }

    fn users(&self) -> Option<Arc<Users>> {
        self.0.users.as_ref().map(|file| file.users())
    }

    fn may_try(&self, address: IpAddr, user: &str) -> bool {
        let now_ms = self.0.clock.elapsed_ms();
        self.0.guesses.lock().standing(Some(address), user, now_ms) != Standing::Spent
    }

    fn was_wrong(&self, address: IpAddr, user: &str) {
        let now_ms = self.0.clock.elapsed_ms();
        self.0.guesses.lock().spend(Some(address), user, now_ms);
    }

    fn may_come(&self, address: IpAddr) -> bool {
        !self.0.bans.forbid_from(address, wall_clock_ms())
    }
}

/// For who looks after clients, why one is refused.
fn tell(found: &Found, client_id: &str, peer: IpAddr, may_tell: impl Fn() -> bool) {
    match found {
        Found::Wrong(why) if may_tell() => {
            tracing::info!(client_id, %peer, why = &**why, "sign-in to the Kafka port refused");
        }
        Found::Unavailable(why) if may_tell() => {
            tracing::warn!(client_id, %peer, why = &**why, "sign-in to the Kafka port: unknown");
        }
        _ => (),
    }
}

/// The answer for the port.
fn verdict(found: Found) -> Verdict {
    match found {
        Found::Right(shown) => {
            let left = shown.until_ms.map(|until_ms| until_ms.saturating_sub(wall_clock_ms()));
            let lasts = left.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
            Verdict::Right(Shown { user: shown.user, vouched: shown.vouched, lasts })
        }
        // Who is asked about certificates alone says nothing of others.
        Found::Wrong(_) | Found::Ignored => Verdict::Wrong,
        Found::TooOften => Verdict::TooOften,
        Found::Busy => Verdict::Busy,
        Found::Unavailable(_) => Verdict::Unavailable,
    }
}
