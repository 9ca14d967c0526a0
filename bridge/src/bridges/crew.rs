//! Who runs: bridges that begin, end and are replaced while others go on. Knows no kind of bridge.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use crate::bridges::backoff::Retry;
use crate::bridges::board::Board;
use crate::bridges::counts::BridgeNumbers;
use crate::bridges::desk::House;
use crate::bridges::life::Life;
use crate::bridges::plan::{AllKnown, Change, Known, Plan};

/// Orders to one bridge that may wait.
const ORDERS_MAX: usize = 16;

/// All that run, and what they need.
pub(crate) struct Crew {
    pub(crate) house: Arc<House>,
    pub(crate) known: AllKnown,
    numbers: BridgeNumbers,
    /// Of each name, the last that was begun.
    running: HashMap<String, JoinHandle<()>>,
    is_following: bool,
}

/// One that is known of, and does not run yet.
pub(crate) struct Recruit {
    name: String,
    life: Life,
}

impl Crew {
    pub(crate) fn new(house: Arc<House>, numbers: BridgeNumbers, known: AllKnown) -> Self {
        Self { house, known, numbers, running: HashMap::new(), is_following: false }
    }

    /// From now on it is known of.
    pub(crate) fn enlist(&mut self, plan: Plan, retry: Retry) -> Recruit {
        let Plan { name, kind, work } = plan;
        if !self.is_following {
            // Without bridges nobody waits for what comes.
            let _ends = self.house.store.follow(Arc::clone(&self.house.tail) as Arc<_>);
            self.is_following = true;
        }
        let counting = self.numbers.of(&name, kind);
        let board = Arc::new(Board::new(name.clone(), kind, counting));
        let (orders, coming) = mpsc::channel(ORDERS_MAX);
        let parts = (Arc::clone(&board), work);
        let life = Life::new(Arc::clone(&self.house), parts, coming, retry);
        self.known.write().push(Known { board, orders });
        Recruit { name, life }
    }

    /// Has it run, when one of its name that ran before has ended: they have one row.
    pub(crate) fn begin(&mut self, recruit: Recruit) {
        let Recruit { name, life } = recruit;
        let before = self.running.remove(&name);
        let task = spawn_local(async move {
            if let Some(before) = before {
                // Whatever came of it.
                let _ = before.await;
            }
            life.live().await;
        });
        self.running.insert(name, task);
    }

    /// Ends some, begins others.
    pub(crate) fn change(&mut self, change: Change) {
        let Change { gone, plans, retry, order } = change;
        let goes = |known: &Known| gone.contains(&known.board.name);
        for known in self.known.write().extract_if(.., |known| goes(known)) {
            known.board.show_gone();
        }
        for plan in plans {
            let recruit = self.enlist(plan, retry);
            self.begin(recruit);
        }
        let place = |name: &str| order.iter().position(|known| known == name);
        self.known.write().sort_by_key(|known| place(&known.board.name));
    }

    /// Ends all, wherever they are.
    pub(crate) async fn disband(self) {
        for task in self.running.values() {
            task.abort();
        }
        for (_, task) in self.running {
            // Whatever came of it.
            let _ = task.await;
        }
    }
}
