//! Posts what lies in the log to an HTTP receiver, from a cursor. Knows no supervisor beyond what a
//! kind of bridge has to be.

mod address;
mod body;
mod json;
mod judge;
mod load;
mod options;
mod post;
mod reader;
mod run;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use options::{Form, PushOptions};

use crate::bridges::Plan;
use crate::bridges::desk::Desk;
use crate::bridges::scope::Scope;
use crate::bridges::work::{Ended, Running, Testing, Work};
use address::Address;
use post::Poster;
use run::Push;

/// As kinds of bridges are called.
const KIND: &str = "push";

/// A push that is to be.
#[must_use]
pub fn push(name: String, options: PushOptions) -> Plan {
    let scope = Scope { streams: options.streams.clone(), filters: options.filters.clone() };
    let work = Arc::new(Pushing { name: name.clone(), scope, options: Arc::new(options) });
    Plan { name, kind: KIND, work }
}

struct Pushing {
    name: String,
    scope: Scope,
    options: Arc<PushOptions>,
}

impl Pushing {
    async fn push(&self, desk: Desk) -> String {
        let options = &self.options;
        let (found, _) = match desk.begin(&self.scope, options.start).await {
            Ok(found) => found,
            Err(words) => return words,
        };
        let poster = match Poster::new(&self.name, options) {
            Ok(poster) => poster,
            Err(words) => return words,
        };
        desk.running(Address::origin(&options.url));
        let source = desk.source_at(&self.scope, &found, options.request_bytes_max);
        let mut push = Push::new(desk, (source, found), poster, Arc::clone(options));
        match push.run().await {
            Err(words) => words,
        }
    }
}

impl Work for Pushing {
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }

    fn run(self: Arc<Self>, desk: Desk) -> Running {
        Box::pin(async move {
            desk.connecting(Address::origin(&self.options.url));
            let mut leaving = desk.clone();
            tokio::select! {
                biased;
                () = leaving.leaves() => Ended::Left,
                words = self.push(desk) => Ended::Failed(words),
            }
        })
    }

    fn test(self: Arc<Self>) -> Testing {
        Box::pin(async move {
            let mut poster = Poster::new(&self.name, &self.options)?;
            poster.connect().await.map_err(|error| error.to_string())?;
            let receiver = Address::origin(&self.options.url);
            Ok(format!("{receiver} can be reached; nothing was sent"))
        })
    }
}
