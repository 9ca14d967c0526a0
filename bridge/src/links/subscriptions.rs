//! What is subscribed on the other side: asked for, answered, given up. Takes no message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Packet, Properties, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFiltersBuilder,
    SubscribeOptions, UnsubAck, Unsubscribe, UnsubscribeFiltersBuilder, Version,
};
use tidewire_proto::qos::Qos;

use crate::bridges::desk::Desk;
use crate::links::options::LinkOptions;
use crate::links::outgoing::Outgoing;
use crate::links::rules::covers;
use crate::links::wire::Writer;
use crate::links::words;

/// Filters in one packet: AWS IoT closes the connection on more.
const FILTERS_MAX: usize = 8;

/// What was asked on one connection and is not answered.
pub(crate) struct Subscriptions {
    /// What is known to be subscribed surely is.
    stands: bool,
    /// Set when all that is wanted was answered.
    is_known: Arc<AtomicBool>,
    asked: Vec<(PacketId, Vec<(String, Qos)>)>,
    /// What is not wanted any more, and is given up when all that is wanted stands: nothing that is
    /// published in between is missed.
    gone: Vec<String>,
    given_up: Vec<(PacketId, Vec<String>)>,
}

impl Subscriptions {
    pub(crate) fn new(stands: bool, is_known: Arc<AtomicBool>) -> Self {
        let (asked, gone, given_up) = (Vec::new(), Vec::new(), Vec::new());
        Self { stands, is_known, asked, gone, given_up }
    }

    /// Subscribes to what may not stand there, and gives up what is not wanted any more.
    pub(crate) fn ask(
        &mut self,
        options: &LinkOptions,
        outgoing: &mut Outgoing,
        writer: &mut Writer,
    ) -> Result<(), String> {
        let (wanted, known) = (wanted(options), outgoing.subscribed().to_vec());
        let is_wanted = |filter: &String| wanted.iter().any(|(it, _)| it == filter);
        let gone = known.iter().map(|(filter, _)| filter).filter(|it| !is_wanted(it));
        self.gone = gone.cloned().collect();
        let is_new = |one: &(String, Qos)| !self.stands || !known.contains(one);
        let new: Vec<_> = wanted.into_iter().filter(is_new).collect();
        for new in new.chunks(FILTERS_MAX) {
            self.subscribe(new, options.version, outgoing, writer)?;
        }
        self.note(outgoing, writer)
    }

    fn subscribe(
        &mut self,
        new: &[(String, Qos)],
        version: Version,
        outgoing: &mut Outgoing,
        writer: &mut Writer,
    ) -> Result<(), String> {
        let mut filters = SubscribeFiltersBuilder::new();
        let has_options = has_options(version);
        for (filter, qos) in new {
            let options = SubscribeOptions {
                no_local: has_options,
                retain_as_published: has_options,
                retain_handling: match has_options {
                    true => RetainHandling::SendIfNew,
                    false => RetainHandling::Send,
                },
                ..SubscribeOptions::with_qos(*qos)
            };
            filters.push(filter, options).map_err(|error| error.to_string())?;
            // Also if no answer comes: when it is not wanted any more it is to be given up.
            outgoing.note_subscribed(filter.clone(), Some(*qos));
        }
        let (packet_id, properties) = (outgoing.spare_id(), Properties::EMPTY);
        let filters = filters.as_filters();
        let subscribe = Packet::Subscribe(Subscribe { packet_id, properties, filters });
        writer.put(&subscribe).map_err(|error| error.to_string())?;
        self.asked.push((packet_id, new.to_vec()));
        Ok(())
    }

    /// SUBACK.
    pub(crate) fn answered(
        &mut self,
        suback: &SubAck<'_>,
        (outgoing, writer): (&mut Outgoing, &mut Writer),
        desk: &Desk,
    ) -> Result<(), String> {
        let at = self.asked.iter().position(|(id, _)| *id == suback.packet_id);
        let Some((_, asked)) = at.map(|at| self.asked.swap_remove(at)) else { return Ok(()) };
        for ((filter, qos), code) in asked.into_iter().zip(suback.codes) {
            let code = ReasonCode(*code);
            if code.is_error() {
                let words = words::reason(code, suback.properties);
                desk.trouble(format!("it refuses the subscription to {filter:?}: {words}"));
                // What stands of it stays.
                self.gone.retain(|narrow| !covers(&filter, narrow));
                outgoing.note_subscribed(filter, None);
                continue;
            }
            if code.0 < qos.bits() {
                let granted = code.0;
                desk.trouble(format!("{filter:?} comes at QoS {granted} at most"));
            }
            tracing::info!(bridge = desk.name(), filter, "subscribed there");
        }
        self.note(outgoing, writer)
    }

    /// UNSUBACK: also what it says was not subscribed is not.
    pub(crate) fn ended(&mut self, unsuback: &UnsubAck<'_>, outgoing: &mut Outgoing) {
        let at = self.given_up.iter().position(|(id, _)| *id == unsuback.packet_id);
        let Some((_, gone)) = at.map(|at| self.given_up.swap_remove(at)) else { return };
        gone.into_iter().for_each(|filter| outgoing.note_subscribed(filter, None));
    }

    /// All that is wanted may have been answered.
    fn note(&mut self, outgoing: &mut Outgoing, writer: &mut Writer) -> Result<(), String> {
        if !self.asked.is_empty() {
            return Ok(());
        }
        self.is_known.store(true, Ordering::Relaxed);
        let gone = std::mem::take(&mut self.gone);
        for gone in gone.chunks(FILTERS_MAX) {
            let mut filters = UnsubscribeFiltersBuilder::new();
            for filter in gone {
                filters.push(filter).map_err(|error| error.to_string())?;
            }
            let (packet_id, properties) = (outgoing.spare_id(), Properties::EMPTY);
            let filters = filters.as_filters();
            let unsubscribe = Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters });
            writer.put(&unsubscribe).map_err(|error| error.to_string())?;
            self.given_up.push((packet_id, gone.to_vec()));
        }
        Ok(())
    }
}

/// The filters that are to be subscribed to there.
fn wanted(options: &LinkOptions) -> Vec<(String, Qos)> {
    let mut wanted: Vec<(String, Qos)> = Vec::new();
    for rule in options.rules.iter().filter(|rule| rule.is_in) {
        let filter = rule.remote_filter().into_owned();
        match wanted.iter_mut().find(|(known, _)| *known == filter) {
            Some((_, qos)) => *qos = rule.qos().max(*qos),
            None => wanted.push((filter, rule.qos())),
        }
    }
    widest(&wanted)
}

/// Without those that others cover: the other side may send a message once for each that matches.
fn widest(wanted: &[(String, Qos)]) -> Vec<(String, Qos)> {
    let is_covered =
        |filter: &str| wanted.iter().any(|(wide, _)| wide != filter && covers(wide, filter));
    let widest = wanted.iter().filter(|(filter, _)| !is_covered(filter));
    let with_highest = |(wide, _): &(String, Qos)| {
        let below = wanted.iter().filter(|(filter, _)| covers(wide, filter));
        let highest = below.map(|(_, qos)| *qos).max().unwrap_or(Qos::AtMostOnce);
        (wide.clone(), highest)
    };
    widest.map(with_highest).collect()
}

/// Whether a version can say what a bridge wants of a subscription.
pub(crate) fn has_options(version: Version) -> bool {
    version == Version::V5
}

#[cfg(test)]
mod tests {
    use tidewire_proto::qos::Qos;

    use super::widest;

    #[test]
    fn of_filters_that_cover_each_other_the_widest_is_asked_for_at_the_highest_qos() {
        let (one, two) = (Qos::AtLeastOnce, Qos::ExactlyOnce);
        let all = [("a/#", one), ("a/b/#", two), ("c", one), ("a/b/c", one), ("a/+/x", one)];
        let all = all.map(|(filter, qos)| (filter.to_owned(), qos));
        assert_eq!(widest(&all), [("a/#".to_owned(), two), ("c".to_owned(), one)]);
    }
}
