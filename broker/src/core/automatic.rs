//! Subscriptions that a session has without asking, as the configuration says.

use tidewire_proto::mqtt::RetainHandling;
use tidewire_proto::session::subscription::Subscription;
use tidewire_proto::topic;
use tidewire_store::Table;
use tidewire_store::rows::subscription;

use crate::core::open::{Open, RetainedFeed};
use crate::core::state::Core;
use crate::core::subscribe::has_room_for;

impl Core {
    /// Adds what the session does not have yet. Their rows are in the commit that CONNACK waits
    /// for; retained messages follow it.
    pub(crate) fn auto_subscribe(&mut self, open: &mut Open, user: Option<&str>) {
        let limits = &self.shared.limits;
        for automatic in &self.shared.rules.automatic {
            let Some(filter) = automatic.filter_for(&open.client_id, user) else { continue };
            let is_too_much = topic::levels(&filter) > usize::from(limits.topic_levels_max)
                || filter.len() > usize::from(limits.topic_bytes_max)
                || !has_room_for(&open.subscriptions, &filter, limits);
            if open.subscriptions.contains(&filter) || is_too_much {
                continue;
            }
            let grant = automatic.grant;
            let since = (!open.cursor.is_live()).then(|| self.positions.clone());
            let new = Subscription {
                grant,
                since,
                is_replay: false,
                is_rewritten: false,
                is_exclusive: false,
            };
            if open.is_durable() {
                let key = subscription::key(&open.client_id, &filter);
                let row = Some(subscription::encode(&new));
                self.turn.put(Table::Subscriptions, key, row);
            }
            open.subscriptions.insert(&filter, new);
            if automatic.retained != RetainHandling::DoNotSend {
                let since = self.positions.clone();
                open.feeds.push_back(RetainedFeed {
                    filter: filter.into(),
                    grant,
                    since,
                    after: None,
                    from: None,
                    edition: None,
                });
            }
        }
        if !self.shared.rules.automatic.is_empty() {
            // What is published before CONNACK leaves comes from the log.
            open.cursor.fall_behind(&self.positions);
        }
    }
}
