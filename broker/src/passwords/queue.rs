//! Passwords that wait for being hashed: bounded, also for one address. Hashes nothing.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use ahash::AHashMap;

use super::guesses::{Guesses, Standing};
use super::question::{Answer, Question};
use crate::network::network_of;

/// A question, and who hears the answer.
pub(super) struct Job {
    pub(super) question: Question,
    pub(super) answer: Answer,
    /// When nobody waits for it any longer; `None`: somebody does as long as there is an asker.
    pub(super) until: Option<Instant>,
}

/// What is next.
pub(super) enum Next {
    /// This is to be looked at. Counted as pending.
    Look(Job),
    /// This is not: too many wrong ones came while it waited.
    Refuse(Job),
}

/// All that wait, oldest first.
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// How many of them an address has.
    of_address: AHashMap<IpAddr, usize>,
    max: usize,
    pub(super) is_over: bool,
}

impl Queue {
    /// For so many; one address has half of the places at most.
    pub(super) fn new(max: usize) -> Self {
        Self { jobs: VecDeque::new(), of_address: AHashMap::new(), max, is_over: false }
    }

    /// False when it has no place.
    pub(super) fn push(&mut self, job: Job) -> bool {
        let address = job.question.address.map(network_of);
        if !self.has_room(address) {
            self.drop_unwanted();
            if !self.has_room(address) {
                return false;
            }
        }
        if let Some(address) = address {
            *self.of_address.entry(address).or_default() += 1;
        }
        self.jobs.push_back(job);
        true
    }

    /// The first that is not behind others that are being looked at; those that nobody waits for
    /// any more are left out. `None`: nothing can be done for now.
    pub(super) fn next(&mut self, guesses: &mut Guesses, now_ms: i64) -> Option<Next> {
        let mut at = 0;
        while let Some(Job { question, .. }) = self.jobs.get(at) {
            let (address, user) = question.guessed();
            if question.asker.strong_count() == 0 {
                drop(self.remove(at));
                continue;
            }
            match guesses.standing(address, user, now_ms) {
                Standing::Behind => at += 1,
                Standing::Spent => return self.remove(at).map(Next::Refuse),
                Standing::Free => {
                    guesses.begin(address, user);
                    return self.remove(at).map(Next::Look);
                }
            }
        }
        None
    }

    /// Takes back what was taken out: it has had its place.
    pub(super) fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            if let Some(address) = job.question.address.map(network_of) {
                *self.of_address.entry(address).or_default() += 1;
            }
            self.jobs.push_back(job);
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// All of them, and no more.
    pub(super) fn end(&mut self) -> VecDeque<Job> {
        self.is_over = true;
        self.of_address.clear();
        std::mem::take(&mut self.jobs)
    }

    fn has_room(&self, address: Option<IpAddr>) -> bool {
        let of_address = address.and_then(|address| self.of_address.get(&address));
        let of_address = of_address.copied().unwrap_or(0);
        self.jobs.len() < self.max && of_address < self.max.div_ceil(2)
    }

    fn drop_unwanted(&mut self) {
        self.jobs.retain(|job| job.question.asker.strong_count() > 0);
        self.of_address.clear();
        for address in self.jobs.iter().filter_map(|job| job.question.address) {
            *self.of_address.entry(network_of(address)).or_default() += 1;
        }
    }

    fn remove(&mut self, at: usize) -> Option<Job> {
        let job = self.jobs.remove(at)?;
        if let Some(address) = job.question.address.map(network_of)
            && let Some(count) = self.of_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Guesses, Job, Next, Question, Queue};
    use crate::passwords::About;

    fn job(last: u8, user: &str) -> (Job, Arc<()>) {
        let asker = Arc::new(());
        let question = Question {
            user: user.into(),
            password: Box::default(),
            address: Some([192, 0, 2, last].into()),
            asker: Arc::downgrade(&asker),
            about: About::default(),
        };
        (Job { question, answer: Box::new(|_| ()), until: None }, asker)
    }

    fn next(queue: &mut Queue, guesses: &mut Guesses) -> Option<(Box<str>, bool)> {
        queue.next(guesses, 0).map(|next| match next {
            Next::Look(job) => (job.question.user, true),
            Next::Refuse(job) => (job.question.user, false),
        })
    }

    #[test]
    fn one_address_leaves_places_to_others() {
        let mut queue = Queue::new(4);
        let mut askers = Vec::new();
        let mut push = |queue: &mut Queue, last| {
            let (job, asker) = job(last, "a");
            askers.push(asker);
            queue.push(job)
        };
        assert_eq!(
            [1, 1, 1, 2, 3, 4].map(|last| push(&mut queue, last)),
            [true, true, false, true, true, false]
        );
        let mut guesses = Guesses::new(0, 0);
        assert!(next(&mut queue, &mut guesses).is_some());
        assert!(push(&mut queue, 1), "a place is free again");
    }

    #[test]
    fn what_nobody_waits_for_is_not_looked_at_and_takes_no_place() {
        let (mut queue, mut guesses) = (Queue::new(2), Guesses::new(0, 0));
        let (gone, asker) = job(1, "gone");
        assert!(queue.push(gone));
        drop(asker);
        let (here, _here) = job(1, "here");
        assert!(queue.push(here), "the place of who is gone");
        assert_eq!(next(&mut queue, &mut guesses), Some(("here".into(), true)));
        let (late, asker) = job(2, "late");
        assert!(queue.push(late));
        drop(asker);
        assert_eq!(next(&mut queue, &mut guesses), None);
        assert!(queue.jobs.is_empty() && queue.of_address.is_empty());
    }

    #[test]
    fn who_is_behind_waits_and_lets_others_pass_until_it_is_known_what_counts() {
        let (mut queue, mut guesses) = (Queue::new(9), Guesses::new(1, 0));
        let jobs = [(1, "a"), (1, "b"), (2, "c"), (1, "d")].map(|(last, user)| job(last, user));
        let mut askers = Vec::new();
        for (job, asker) in jobs {
            assert!(queue.push(job));
            askers.push(asker);
        }
        let at = |last: u8| Some([192, 0, 2, last].into());
        assert_eq!(next(&mut queue, &mut guesses), Some(("a".into(), true)));
        assert_eq!(next(&mut queue, &mut guesses), Some(("c".into(), true)));
        assert_eq!(next(&mut queue, &mut guesses), None, "b and d are behind a");
        guesses.end(at(1), "a");
        assert_eq!(next(&mut queue, &mut guesses), Some(("b".into(), true)), "a was right");
        guesses.end(at(1), "b");
        guesses.spend(at(1), "b", 0);
        assert_eq!(next(&mut queue, &mut guesses), Some(("d".into(), false)), "b was wrong");
    }
}
