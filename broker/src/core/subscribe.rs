//! SUBSCRIBE and UNSUBSCRIBE. The answer leaves when the rows are durable.

use tidewire_proto::mqtt::{
    Packet, Properties, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeOptions, UnsubAck,
    Unsubscribe,
};
use tidewire_proto::routing::grant::{Grant, SessionKey};
use tidewire_proto::session::subscription::Subscription;
use tidewire_proto::topic;
use tidewire_store::rows::subscription;
use tidewire_store::{Table, TableChange};

use crate::config::MqttConfig;
use crate::core::open::{ConnId, Open, Phase, RetainedFeed};
use crate::core::send::put;
use crate::core::state::Core;
use crate::core::turn::Waiting;

impl Core {
    pub(crate) fn on_subscribe(&mut self, id: ConnId, subscribe: &Subscribe<'_>) {
        let sub_id = subscribe.properties.subscription_ids().next().unwrap_or(0);
        let filters_max = self.shared.limits.filters_per_subscribe_max as usize;
        let mut codes = Vec::new();
        let mut feeds = Vec::new();
        for (filter, options) in subscribe.filters() {
            let code = match codes.len() < filters_max {
                true => self.subscribe(id, filter, options, sub_id, &mut feeds),
                false => ReasonCode::QUOTA_EXCEEDED,
            };
            codes.push(code.0);
        }
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        if !feeds.is_empty() {
            // What is published from here on comes after the retained messages, from the log.
            open.cursor.fall_behind(&self.positions);
        }
        let ack =
            SubAck { packet_id: subscribe.packet_id, properties: Properties::EMPTY, codes: &codes };
        let mut bytes = Vec::new();
        put(&Packet::SubAck(ack), open.version, &mut bytes);
        self.mark_changed(id, true);
        // Also a session without rows waits for a commit: whatever was accepted before is then
        // in the log and in the retained table, and what comes later comes from the log.
        self.turn.waiting.push(Waiting::Suback(id, bytes, feeds));
        self.end_turn_soon();
    }

    fn subscribe(
        &mut self,
        id: ConnId,
        filter: &str,
        options: SubscribeOptions,
        sub_id: u32,
        feeds: &mut Vec<RetainedFeed>,
    ) -> ReasonCode {
        let Some(conn) = self.conns.get_mut(id.key as usize) else {
            return ReasonCode::UNSPECIFIED_ERROR;
        };
        let Phase::Open(open) = &mut conn.phase else { return ReasonCode::UNSPECIFIED_ERROR };
        if let Err(reason) = check(open, filter, &self.shared.limits) {
            return reason;
        }
        let grant = Grant {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            id: sub_id,
        };
        let since = (!open.cursor.is_live()).then(|| self.positions.clone());
        let (now, is_new) = open.subscriptions.insert(filter, Subscription { grant, since });
        self.trie.insert(filter, SessionKey(id.key), grant);
        if open.is_durable() {
            let key = subscription::key(&open.client_id, filter);
            let row = Some(subscription::encode(&now));
            self.turn.changes.push(TableChange::new(Table::Subscriptions, key, row));
        }
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants_retained {
            let since = self.positions.clone();
            feeds.push(RetainedFeed { filter: filter.into(), grant, since, after: None });
        }
        ReasonCode(options.qos.bits())
    }

    pub(crate) fn on_unsubscribe(&mut self, id: ConnId, unsubscribe: &Unsubscribe<'_>) {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            codes.push(self.unsubscribe(id, filter).0);
        }
        let Some(open) = self.open(id) else { return };
        let ack = UnsubAck {
            packet_id: unsubscribe.packet_id,
            properties: Properties::EMPTY,
            codes: &codes,
        };
        let mut bytes = Vec::new();
        put(&Packet::UnsubAck(ack), open.version, &mut bytes);
        self.turn.waiting.push(Waiting::Send(id, bytes));
        self.end_turn_soon();
    }

    fn unsubscribe(&mut self, id: ConnId, filter: &str) -> ReasonCode {
        let Some(open) = self.open(id) else { return ReasonCode::UNSPECIFIED_ERROR };
        open.feeds.retain(|feed| &*feed.filter != filter);
        if !open.subscriptions.remove(filter) {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        }
        if open.is_durable() {
            let key = subscription::key(&open.client_id, filter);
            self.turn.changes.push(TableChange::new(Table::Subscriptions, key, None));
        }
        self.trie.remove(filter, SessionKey(id.key));
        ReasonCode::SUCCESS
    }
}

/// May the session subscribe to that?
fn check(open: &Open, filter: &str, limits: &MqttConfig) -> Result<(), ReasonCode> {
    match topic::split_share(filter) {
        Err(_) => return Err(ReasonCode::TOPIC_FILTER_INVALID),
        Ok(Some(_)) => return Err(ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED),
        Ok(None) => (),
    }
    if topic::levels(filter) > usize::from(limits.topic_levels_max) {
        return Err(ReasonCode::TOPIC_FILTER_INVALID);
    }
    let is_full = open.subscriptions.len() >= limits.subscriptions_per_session_max as usize;
    if is_full && !open.subscriptions.contains(filter) {
        return Err(ReasonCode::QUOTA_EXCEEDED);
    }
    Ok(())
}
