//! SUBSCRIBE and UNSUBSCRIBE. The answer leaves when the rows are durable.

use std::sync::Arc;

use tidewire_proto::mqtt::{
    Packet, Properties, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeOptions, UnsubAck,
    Unsubscribe,
};
use tidewire_proto::qos::Qos;
use tidewire_proto::replay::{PROPERTY, parse_start, split_start};
use tidewire_proto::routing::grant::{Grant, SessionKey};
use tidewire_proto::session::subscription::{Subscription, Subscriptions};
use tidewire_proto::topic::{self, is_shared};
use tidewire_store::Table;
use tidewire_store::rows::subscription;

use crate::config::MqttConfig;
use crate::core::denial::{Denial, FilterDenial, put_with_words};
use crate::core::open::{ConnId, Joining, Made, Open, Phase, RetainedFeed, Suback};
use crate::core::send::put;
use crate::core::state::Core;
use crate::core::turn::Waiting;
use crate::metrics::{CloseReason, FilterFault};
use crate::topic_rules::{canonical, without_exclusive};

/// Nobody hears it.
const GONE: FilterDenial = FilterDenial::new(FilterFault::Gone, "the connection is over");
/// The filter may be good: what is wrong is said beside it.
const NO_TIME: FilterDenial = FilterDenial {
    counted: FilterFault::Malformed,
    told: Denial::new(
        ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
        "the user property \"from\" holds no time",
    ),
};
/// Subscriptions of one SUBSCRIBE that may begin in the past.
const REPLAYS_MAX: usize = 16;

impl Core {
    pub(crate) fn on_subscribe(&mut self, id: ConnId, subscribe: &Subscribe<'_>) {
        let sub_id = subscribe.properties.subscription_ids().next().unwrap_or(0);
        let filters_max = self.shared.limits.filters_per_subscribe_max as usize;
        let from = subscribe.properties.user_properties().find(|(name, _)| *name == PROPERTY);
        let from = from.map(|(_, value)| value);
        let mut codes = Vec::new();
        let token = self.next_token(id);
        let (suback, fresh) = (Suback::default(), Vec::new());
        let mut made = Made { sub_id, suback, joins: 0, token, fresh };
        let mut words = None;
        for (filter, options) in subscribe.filters() {
            let granted = match codes.len() < filters_max {
                true => self.subscribe_from(id, (filter, from), options, &mut made),
                false => {
                    let words = "SUBSCRIBE has more filters than it may";
                    Err(FilterDenial::new(FilterFault::Packet, words))
                }
            };
            codes.push(granted.map_or_else(|no| no.told.reason.0, Qos::bits));
            if let Err(no) = granted {
                self.counters.filters_refused.add(no.counted, 1);
                words.get_or_insert_with(|| format!("filter {}: {}", codes.len(), no.told.words));
            }
        }
        self.count_subscriptions(id);
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        let Made { mut suback, joins, token, fresh, .. } = made;
        if !suback.feeds.is_empty() {
            // What is published from here on comes after the retained messages, from the log.
            open.cursor.fall_behind(&self.positions);
        }
        let bytes = &mut suback.bytes;
        put_with_words(bytes, words.as_deref(), open.hearing(), |properties, out| {
            let ack = SubAck { packet_id: subscribe.packet_id, properties, codes: &codes };
            put(&Packet::SubAck(ack), open.version, out);
        });
        let size = suback.bytes.len();
        let mut answer = Some(suback);
        if let Some(suback) = answer.take_if(|_| joins > 0) {
            // Its own rows are one thing more that it waits for. They may be refused also when
            // the connection ends here.
            open.joining.push(Joining { token, left: joins + 1, suback, fresh });
        }
        if !self.fits(id, size) {
            return;
        }
        self.mark_changed(id, true);
        // Also a session without rows waits for a commit: whatever was accepted before is then
        // in the log and in the retained table, and what comes later comes from the log.
        self.turn.waiting.push(match answer {
            Some(suback) => Waiting::Suback(id, Box::new(suback)),
            None => Waiting::Joining(id, token, self.next_ticket),
        });
        self.end_turn_soon();
    }

    fn next_token(&mut self, id: ConnId) -> u32 {
        let Some(open) = self.open(id) else { return 0 };
        open.last_token = open.last_token.wrapping_add(1);
        open.last_token
    }

    /// A filter that may say where it begins, or be another name of one that does not.
    fn subscribe_from(
        &mut self,
        id: ConnId,
        (filter, from): (&str, Option<&str>),
        options: SubscribeOptions,
        made: &mut Made,
    ) -> Result<Qos, FilterDenial> {
        let (start, plain) = match (split_start(filter), from.map(parse_start)) {
            (Err(_), _) => {
                let words = "$s/ is not followed by a time";
                return Err(FilterDenial::new(FilterFault::Malformed, words));
            }
            (_, Some(None)) => return Err(NO_TIME),
            (Ok(Some((start, plain))), _) => (Some(start), plain),
            (Ok(None), from) => (from.flatten(), filter),
        };
        let named = canonical(plain);
        let name = self.shared.rules.filter(&named);
        if let Some(granted) = self.open(id).and_then(|open| open.granted.as_mut()) {
            granted.permit(&name, start.is_some())?;
        }
        // A group has one position: a member cannot begin elsewhere.
        match start {
            None => self.subscribe(id, &Asked { name: &name, named: &named }, options, made),
            Some(_) if is_shared(&name) => {
                let words = "a shared subscription cannot begin in the past";
                Err(FilterDenial::new(FilterFault::Combination, words))
            }
            // Each costs a look-up and a new beginning of every other subscription.
            Some(_) if made.suback.replays >= REPLAYS_MAX || self.is_replaying(id) => {
                let words = "too many subscriptions begin in the past at once";
                Err(FilterDenial::new(FilterFault::Replays, words))
            }
            Some(_) if !self.may_replay(id) => {
                let words = "too many subscriptions began in the past this minute";
                Err(FilterDenial::new(FilterFault::Replays, words))
            }
            Some(start) => {
                let unasked = SubscribeOptions {
                    // What is retained comes with the rest.
                    retain_handling: RetainHandling::DoNotSend,
                    ..options
                };
                let asked = Asked { name: &name, named: &named };
                let qos = self.subscribe(id, &asked, unasked, made)?;
                made.joins += 1;
                made.suback.replays += 1;
                self.seek(id, without_exclusive(&name).0, start, made.token);
                Ok(qos)
            }
        }
    }

    /// Counts one more that begins in the past: each may have all of the log read.
    fn may_replay(&mut self, id: ConnId) -> bool {
        let (minute, max) = (self.uptime_ms / 60_000, self.shared.limits.replays_per_minute_max);
        let Some(open) = self.open(id) else { return false };
        if open.replays.0 != minute {
            open.replays = (minute, 0);
        }
        open.replays.1 = open.replays.1.saturating_add(1);
        max == 0 || open.replays.1 <= max
    }

    fn subscribe(
        &mut self,
        id: ConnId,
        asked: &Asked<'_>,
        options: SubscribeOptions,
        made: &mut Made,
    ) -> Result<Qos, FilterDenial> {
        let shared = Arc::clone(&self.shared);
        let open = self.open(id).ok_or(GONE)?;
        let is_rewritten = asked.name != asked.named;
        let (filter, is_exclusive) = without_exclusive(asked.name);
        check(open, filter, &shared.limits)?;
        self.settle_exclusive(id, filter, is_exclusive)?;
        let grant = Grant {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            id: made.sub_id,
        };
        if is_shared(filter) {
            // Under its other name the decoder did not see it.
            if options.no_local {
                let words = "No Local is not for shared subscriptions";
                return Err(FilterDenial::new(FilterFault::Combination, words));
            }
            self.subscribe_shared(id, filter, grant, made)?;
            let since = None;
            let new = Subscription { grant, since, is_replay: false, is_rewritten, is_exclusive };
            self.put_subscription(id, filter, new);
            return Ok(options.qos);
        }
        let is_live = self.open(id).is_some_and(|open| open.cursor.is_live());
        let since = (!is_live).then(|| self.positions.clone());
        let new = Subscription { grant, since, is_replay: false, is_rewritten, is_exclusive };
        let is_new = self.put_subscription(id, filter, new);
        self.trie.insert(filter, SessionKey(id.key), grant);
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants_retained {
            let since = self.positions.clone();
            made.suback.feeds.push(RetainedFeed {
                filter: filter.into(),
                grant,
                since,
                after: None,
                from: None,
                edition: None,
            });
        }
        Ok(options.qos)
    }

    /// The row of a subscription, as it stands.
    pub(crate) fn write_subscription(&mut self, id: ConnId, filter: &str) {
        let Some(open) = self.open(id).filter(|open| open.is_durable()) else { return };
        let Some(subscription) = open.subscriptions.get(filter) else { return };
        let key = subscription::key(&open.client_id, filter);
        let row = Some(subscription::encode(subscription));
        self.turn.put(Table::Subscriptions, key, row);
    }

    /// Says how many the session has now.
    fn count_subscriptions(&mut self, id: ConnId) {
        let Some(open) = self.open(id) else { return };
        let (client_id, count) = (Arc::clone(&open.client_id), open.subscription_count());
        self.shared.subscribed.put(client_id.as_bytes(), count);
    }

    /// Notes down a subscription; whether its filter is new to the session.
    fn put_subscription(&mut self, id: ConnId, filter: &str, new: Subscription) -> bool {
        let Some(open) = self.open(id) else { return false };
        let (_, is_new) = open.subscriptions.insert(filter, new);
        self.write_subscription(id, filter);
        is_new
    }

    pub(crate) fn on_unsubscribe(&mut self, id: ConnId, unsubscribe: &Unsubscribe<'_>) {
        let filters_max = self.shared.limits.filters_per_subscribe_max as usize;
        if unsubscribe.filters().nth(filters_max).is_some() {
            // UNSUBACK has no code for that, and before MQTT 5 none at all.
            return self.close(id, CloseReason::Limit, Some(ReasonCode::QUOTA_EXCEEDED));
        }
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            let plain = split_start(filter).ok().flatten().map_or(filter, |(_, plain)| plain);
            let named = canonical(plain);
            let name = self.shared.rules.filter(&named);
            let code = match name == named || self.is_rewritten(id, &name) {
                true => self.take_off(id, &name),
                // A subscription that is older than the rule has the filter as the client gave it;
                // one that another rule made has it too, and is not meant.
                false if !self.is_rewritten(id, &named) => self.take_off(id, &named),
                // What the rule makes of it was asked for by that name, if at all.
                false => ReasonCode::NO_SUBSCRIPTION_EXISTED,
            };
            codes.push(code.0);
        }
        self.count_subscriptions(id);
        let Some(open) = self.open(id) else { return };
        // Once for all of them: there may be thousands of either.
        let Open { feeds, subscriptions, .. } = open;
        feeds.retain(|feed| subscriptions.get(&feed.filter).is_some());
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

    fn is_rewritten(&mut self, id: ConnId, filter: &str) -> bool {
        let (filter, _) = without_exclusive(filter);
        let found = self.open(id).and_then(|open| open.subscriptions.get(filter));
        found.is_some_and(|found| found.is_rewritten)
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnId, filter: &str) {
        self.take_off(id, filter);
        self.count_subscriptions(id);
        let (filter, _) = without_exclusive(filter);
        if let Some(open) = self.open(id) {
            open.feeds.retain(|feed| &*feed.filter != filter);
        }
    }

    /// All but the retained messages that were to come: whoever calls it looks after those.
    fn take_off(&mut self, id: ConnId, filter: &str) -> ReasonCode {
        let (filter, _) = without_exclusive(filter);
        let Some(open) = self.open(id) else { return ReasonCode::UNSPECIFIED_ERROR };
        if !open.subscriptions.remove(filter) {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        }
        let client_id = Arc::clone(&open.client_id);
        let is_durable = open.is_durable();
        if is_durable {
            let key = subscription::key(&client_id, filter);
            self.turn.put(Table::Subscriptions, key, None);
        }
        self.give_up(filter, &client_id, is_durable);
        self.trie.remove(filter, SessionKey(id.key));
        self.unsubscribe_shared(id, filter);
        ReasonCode::SUCCESS
    }
}

/// A filter that is subscribed to.
struct Asked<'a> {
    /// What the rules make of it.
    name: &'a str,
    /// As the client has it.
    named: &'a str,
}

/// May there be a subscription more, in number and in bytes?
pub(crate) fn has_room_for(all: &Subscriptions, filter: &str, limits: &MqttConfig) -> bool {
    let bytes = all.filter_bytes() + filter.len();
    all.contains(filter)
        || all.len() < limits.subscriptions_per_session_max as usize
            && bytes <= limits.subscription_bytes_per_session_max as usize
}

/// May the session subscribe to that?
fn check(open: &Open, filter: &str, limits: &MqttConfig) -> Result<(), FilterDenial> {
    if topic::check_filter(filter).is_err() {
        let words = "a wildcard, or the name of a group, is not in its place";
        return Err(FilterDenial::new(FilterFault::Malformed, words));
    }
    if filter.len() > usize::from(limits.topic_bytes_max) {
        return Err(FilterDenial::new(FilterFault::TooLong, "it is longer than it may be"));
    }
    if topic::levels(filter) > usize::from(limits.topic_levels_max) {
        return Err(FilterDenial::new(FilterFault::Levels, "it has too many levels"));
    }
    if has_room_for(&open.subscriptions, filter, limits) {
        return Ok(());
    }
    let words = "the session has as many subscriptions as it may";
    Err(FilterDenial::new(FilterFault::Session, words))
}

#[cfg(test)]
mod tests {
    use crate::config::{RewriteConfig, RewriteOn};
    use crate::core::alone::Alone;

    const SUBSCRIBE: u8 = 0x82;
    const UNSUBSCRIBE: u8 = 0xa2;
    const A: &[u8] = b"\x00\x01\x00\x00\x01a";
    const SUBSCRIBE_A: &[u8] = b"\x00\x01\x00\x00\x01a\x01";
    const SUBSCRIBE_B: &[u8] = b"\x00\x01\x00\x00\x01b\x01";
    const REPLAY: &[u8] = b"\x00\x01\x00\x00\x0d$s/earliest/a\x01";

    #[test]
    fn so_many_subscriptions_begin_in_the_past_in_a_minute_and_again_in_the_next() {
        let mut alone = Alone::new(|config| config.mqtt.replays_per_minute_max = 2);
        let client = alone.connect("client");
        alone.settle();
        for (uptime_ms, allowed) in [(0, true), (59_999, true), (59_999, false), (60_000, true)] {
            alone.core.uptime_ms = uptime_ms;
            // The one before is found.
            alone.core.open(client).expect("it is here").seeking = 0;
            assert_eq!(alone.core.may_replay(client), allowed, "{uptime_ms}");
        }
        alone.core.open(client).expect("it is here").replays = (1, 2);
        alone.say(client, SUBSCRIBE, REPLAY);
        alone.settle();
        let heard = alone.heard(client);
        assert!(heard.ends_with(&[0x97]), "{heard:02x?}");
    }

    #[test]
    fn an_unsubscribe_with_more_filters_than_it_may_have_ends_the_connection() {
        let mut alone = Alone::new(|config| config.mqtt.filters_per_subscribe_max = 2);
        let client = alone.connect("client");
        alone.settle();
        alone.heard(client);
        alone.say(client, UNSUBSCRIBE, b"\x00\x01\x00\x00\x01a\x00\x01b");
        alone.settle();
        assert_eq!(alone.heard(client), [0xb0, 5, 0, 1, 0, 0x11, 0x11]);
        alone.say(client, UNSUBSCRIBE, b"\x00\x01\x00\x00\x01a\x00\x01b\x00\x01c");
        alone.settle();
        assert!(alone.core.open(client).is_none());
    }

    #[test]
    fn unsubscribe_of_a_rewritten_name_leaves_what_was_asked_for_by_the_other_name() {
        for (subscribe, code, is_left) in [(SUBSCRIBE_A, 0x00, false), (SUBSCRIBE_B, 0x11, true)] {
            let (from, to) = ("a".into(), "b".into());
            let rule = RewriteConfig { on: RewriteOn::Subscribe, from, to };
            let mut alone = Alone::new(|config| config.topics.rewrite = vec![rule]);
            let client = alone.connect("client");
            alone.settle();
            alone.say(client, SUBSCRIBE, subscribe);
            alone.settle();
            alone.heard(client);
            alone.say(client, UNSUBSCRIBE, A);
            alone.settle();
            assert_eq!(alone.heard(client), [0xb0, 4, 0, 1, 0, code]);
            let open = alone.core.open(client).expect("it is connected");
            assert_eq!(open.subscriptions.contains("b"), is_left);
        }
    }
}
