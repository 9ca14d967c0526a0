//! Answers of the program, remembered for a while under a hash whose key nobody else has. Bounded;
//! forgets the oldest. Time is handed in.

use std::time::Instant;

use ahash::AHashMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::passwords::{Question, Verdict};

const BYTES: usize = 32;

/// All that a question says, as it is remembered.
pub(super) type Trace = [u8; BYTES];

/// Answers.
pub(super) struct Memory {
    key: [u8; BYTES],
    /// Those of late, and those before.
    late: AHashMap<Trace, (Instant, Verdict)>,
    early: AHashMap<Trace, (Instant, Verdict)>,
    max: usize,
}

impl Memory {
    /// Remembers so many; `None` when the system has no randomness to give.
    pub(super) fn new(max: usize) -> Option<Self> {
        let mut key = [0; BYTES];
        getrandom::fill(&mut key).ok()?;
        Some(Self { key, late: AHashMap::new(), early: AHashMap::new(), max })
    }

    pub(super) fn trace(&self, question: &Question) -> Trace {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("a key of any length is a key of this function");
        let about = &question.about;
        let address = question.address.map(|address| address.to_canonical().to_string());
        let certificate = about.certificate.as_deref();
        let parts = [
            &*question.password,
            question.user.as_bytes(),
            about.client_id.as_bytes(),
            about.listener.as_bytes(),
            about.protocol.as_bytes(),
            address.as_deref().unwrap_or_default().as_bytes(),
            certificate.unwrap_or_default().as_bytes(),
            &[u8::from(certificate.is_some())],
        ];
        for part in parts {
            // The lengths keep ("ab", "c") and ("a", "bc") apart.
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    pub(super) fn recall(&self, trace: &Trace, now: Instant) -> Option<Verdict> {
        let known = self.late.get(trace).or_else(|| self.early.get(trace));
        known.filter(|(until, _)| now < *until).map(|(_, verdict)| verdict.clone())
    }

    pub(super) fn add(&mut self, trace: Trace, until: Instant, verdict: Verdict) {
        if self.max == 0 {
            return;
        }
        if self.late.len() >= self.max.div_ceil(2) {
            self.early = std::mem::take(&mut self.late);
        }
        self.late.insert(trace, (until, verdict));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::{Duration, Instant};

    use super::Memory;
    use crate::passwords::{About, Question, Verdict};

    fn question(user: &str, password: &str, client_id: &str) -> Question {
        Question {
            user: user.into(),
            password: password.as_bytes().into(),
            address: None,
            asker: Weak::new(),
            about: About { client_id: client_id.into(), ..About::default() },
        }
    }

    #[test]
    fn an_answer_is_for_its_question_alone_and_for_its_time() {
        let mut memory = Memory::new(10).expect("randomness");
        let now = Instant::now();
        let trace = memory.trace(&question("ann", "pencil", "c1"));
        memory.add(trace, now + Duration::from_secs(60), Verdict::Ignored);
        assert_eq!(memory.recall(&trace, now), Some(Verdict::Ignored));
        assert_eq!(memory.recall(&trace, now + Duration::from_secs(60)), None);
        for other in [("ann", "pencil", "c2"), ("ann", "rubber", "c1"), ("annp", "encil", "c1")] {
            let trace = memory.trace(&question(other.0, other.1, other.2));
            assert_eq!(memory.recall(&trace, now), None, "{other:?}");
        }
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let mut memory = Memory::new(4).expect("randomness");
        let now = Instant::now();
        for number in 0..100 {
            let trace = memory.trace(&question("ann", &number.to_string(), ""));
            memory.add(trace, now + Duration::from_secs(60), Verdict::Ignored);
            assert!(memory.recall(&trace, now).is_some());
            assert!(memory.late.len() + memory.early.len() <= 4);
        }
        let mut nothing = Memory::new(0).expect("randomness");
        let trace = nothing.trace(&question("ann", "", ""));
        nothing.add(trace, now + Duration::from_secs(60), Verdict::Ignored);
        assert_eq!(nothing.recall(&trace, now), None);
    }
}
