//! SUBSCRIBE and UNSUBSCRIBE. The answer leaves when the rows are durable.

use std::borrow::Cow;

use tidewire_proto::mqtt::{
    Packet, Properties, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeOptions, UnsubAck,
    Unsubscribe,
};
use tidewire_proto::routing::grant::{Grant, SessionKey};
use tidewire_proto::session::subscription::Subscription;
use tidewire_proto::topic::{self, is_shared};
use tidewire_store::rows::subscription;
use tidewire_store::{Table, TableChange};

use crate::config::MqttConfig;
use crate::core::open::{ConnId, Joining, Open, Phase, RetainedFeed};
use crate::core::send::put;
use crate::core::state::Core;
use crate::core::turn::Waiting;

impl Core {
    pub(crate) fn on_subscribe(&mut self, id: ConnId, subscribe: &Subscribe<'_>) {
        let sub_id = subscribe.properties.subscription_ids().next().unwrap_or(0);
        let filters_max = self.shared.limits.filters_per_subscribe_max as usize;
        let mut codes = Vec::new();
        let mut made = Made { sub_id, feeds: Vec::new(), joins: 0, token: self.next_token(id) };
        for (filter, options) in subscribe.filters() {
            let code = match codes.len() < filters_max {
                true => self.subscribe(id, &canonical(filter), options, &mut made),
                false => ReasonCode::QUOTA_EXCEEDED,
            };
            codes.push(code.0);
        }
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        let Made { feeds, joins, token, .. } = made;
        if !feeds.is_empty() {
            // What is published from here on comes after the retained messages, from the log.
            open.cursor.fall_behind(&self.positions);
        }
        let ack =
            SubAck { packet_id: subscribe.packet_id, properties: Properties::EMPTY, codes: &codes };
        let mut bytes = Vec::new();
        put(&Packet::SubAck(ack), open.version, &mut bytes);
        if !self.fits(id, bytes.len()) {
            return;
        }
        self.mark_changed(id, true);
        // Also a session without rows waits for a commit: whatever was accepted before is then
        // in the log and in the retained table, and what comes later comes from the log.
        if joins == 0 {
            self.turn.waiting.push(Waiting::Suback(id, bytes, feeds));
        } else if let Some(open) = self.open(id) {
            open.joining.push(Joining { token, left: joins, suback: bytes, feeds });
        }
        self.end_turn_soon();
    }

    fn next_token(&mut self, id: ConnId) -> u32 {
        let Some(open) = self.open(id) else { return 0 };
        open.last_token = open.last_token.wrapping_add(1);
        open.last_token
    }

    fn subscribe(
        &mut self,
        id: ConnId,
        filter: &str,
        options: SubscribeOptions,
        made: &mut Made,
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
            id: made.sub_id,
        };
        if is_shared(filter) {
            if let Err(reason) = self.subscribe_shared(id, filter, grant, made.token) {
                return reason;
            }
            made.joins += 1;
            self.put_subscription(id, filter, Subscription { grant, since: None });
            return ReasonCode(options.qos.bits());
        }
        let since = (!open.cursor.is_live()).then(|| self.positions.clone());
        let is_new = self.put_subscription(id, filter, Subscription { grant, since });
        self.trie.insert(filter, SessionKey(id.key), grant);
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants_retained {
            let since = self.positions.clone();
            made.feeds.push(RetainedFeed { filter: filter.into(), grant, since, after: None });
        }
        ReasonCode(options.qos.bits())
    }

    /// Notes down a subscription; whether its filter is new to the session.
    fn put_subscription(&mut self, id: ConnId, filter: &str, new: Subscription) -> bool {
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return false };
        let Phase::Open(open) = &mut conn.phase else { return false };
        let (now, is_new) = open.subscriptions.insert(filter, new);
        if open.is_durable() {
            let key = subscription::key(&open.client_id, filter);
            let row = Some(subscription::encode(&now));
            self.turn.changes.push(TableChange::new(Table::Subscriptions, key, row));
        }
        is_new
    }

    pub(crate) fn on_unsubscribe(&mut self, id: ConnId, unsubscribe: &Unsubscribe<'_>) {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            codes.push(self.unsubscribe(id, &canonical(filter)).0);
        }
        let Some(open) = self.open(id) else { return };
        let ack = UnsubAck {
            packet_id: unsubscribe.packet_id,
            properties: Properties::EMPTY,
            codes: &codes,
        };
        let mut bytes = Vec::new();
        put(&Packet::UnsubAck(ack), open.version, &mut bytes);
        if !self.fits(id, bytes.len()) {
            return;
        }
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
        self.unsubscribe_shared(id, filter);
        ReasonCode::SUCCESS
    }
}

/// What a SUBSCRIBE leads to besides its answer.
struct Made {
    sub_id: u32,
    /// Retained messages that follow it.
    feeds: Vec<RetainedFeed>,
    /// Share groups that must know of it first.
    joins: usize,
    token: u32,
}

/// One name per subscription: `$queue/filter` is the share group `$queue`.
fn canonical(filter: &str) -> Cow<'_, str> {
    match filter.starts_with("$queue/") {
        true => format!("$share/{filter}").into(),
        false => filter.into(),
    }
}

/// May the session subscribe to that?
fn check(open: &Open, filter: &str, limits: &MqttConfig) -> Result<(), ReasonCode> {
    if topic::check_filter(filter).is_err() {
        return Err(ReasonCode::TOPIC_FILTER_INVALID);
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
