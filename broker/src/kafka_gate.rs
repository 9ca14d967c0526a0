//! The users of MQTT, for the Kafka port: the same files, threads and limits. Speaks no Kafka.

use std::net::IpAddr;
use std::sync::Arc;

use tidewire_bridge::{Gate, Login, Mechanism, OnVerdict, Verdict};
use tidewire_proto::scram::{Method, Users};

use crate::core::shared::Shared;
use crate::passwords::{Question, Standing, Verdict as Found};

/// Who knows them.
pub(crate) struct UsersGate(pub(crate) Arc<Shared>);

impl Gate for UsersGate {
    fn mechanisms(&self) -> Vec<Mechanism> {
        let plain = self.0.passwords.iter().map(|_| Mechanism::Plain);
        let users = self.users();
        let has = |method: &Method| users.as_ref().is_some_and(|users| users.has(*method));
        plain.chain(Method::ALL.into_iter().filter(has).map(Mechanism::Scram)).collect()
    }

    fn check(&self, login: Login, answer: OnVerdict) -> Option<Verdict> {
        let Some(desk) = &self.0.passwords else { return Some(Verdict::Unavailable) };
        let Login { user, password, address, asker } = login;
        let question = Question { user, password, address: Some(address), asker };
        let now_ms = self.0.clock.elapsed_ms();
        desk.ask(question, now_ms, Box::new(|found| answer(verdict(found)))).map(verdict)
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
}

const fn verdict(found: Found) -> Verdict {
    match found {
        Found::Right => Verdict::Right,
        Found::Wrong => Verdict::Wrong,
        Found::TooOften => Verdict::TooOften,
        Found::Busy => Verdict::Busy,
        Found::Unavailable => Verdict::Unavailable,
    }
}
