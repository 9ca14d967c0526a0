//! Where the rules are asked for a session as a whole: at CONNECT, for its will, and when other
//! rules hold. Single packets ask where they are handled.

use std::sync::Arc;

use tidewire_proto::access::{self, Action, Subject, Wide, rights_of};
use tidewire_proto::message::Message;
use tidewire_proto::record::Batch;
use tidewire_proto::routing::grant::SessionKey;
use tidewire_proto::session::window::Place;

use crate::access_file::AccessFile;
use crate::core::granted::Granted;
use crate::core::inbox::Event;
use crate::core::open::{Claim, Conn, ConnId, Identity, Open, Phase};
use crate::core::send::quality;
use crate::core::state::Core;
use crate::link::IN_PROCESS;
use crate::metrics::DropReason;

/// Sessions that get new rights before others have their turn.
const SESSIONS_AT_A_TIME: usize = 512;

impl Core {
    /// What a client may do; `None`: everything.
    pub(crate) fn granted(
        &self,
        conn: &Conn,
        client_id: &Arc<str>,
        identity: Option<&Identity>,
    ) -> Option<Box<Granted>> {
        let rules = self.shared.access.as_ref().map(AccessFile::rules);
        let address = conn.peer.ip()?;
        let subject = Subject {
            client_id: Arc::clone(client_id),
            user: identity.map(|identity| identity.user.clone()),
            certificate: conn.certified.clone(),
            place: Some(access::Place { address: Some(address), listener: conn.door.listener }),
            ..Subject::default()
        };
        let vouched = identity.and_then(|identity| identity.vouched.as_deref());
        let rights = rights_of(rules.as_deref(), subject, vouched)?;
        let wide = rules.map_or(Wide::Refuse, |rules| rules.wide());
        Some(Box::new(Granted::new(rights, wide)))
    }

    /// The same of a claim.
    pub(crate) fn granted_to(&self, id: ConnId, claim: &Claim) -> Option<Box<Granted>> {
        let conn = self.conns.get(id.key as usize)?;
        self.granted(conn, &claim.client_id, claim.identity.as_ref())
    }

    /// Whether a client may leave the will that it brings.
    pub(crate) fn may_leave_will(&mut self, id: ConnId, claim: &Claim) -> bool {
        let Some(will) = &claim.will else { return true };
        match self.granted_to(id, claim) {
            Some(mut granted) => self.may_publish_kept(&mut granted, &will.message),
            None => true,
        }
    }

    /// Whether a will may still be sent. Of who is away only the names are known.
    pub(crate) fn may_send_will(
        &mut self,
        client_id: &Arc<str>,
        user: Option<Box<str>>,
        message: &Batch,
    ) -> bool {
        let Some(access) = &*self.shared.access else { return true };
        if client_id.starts_with(IN_PROCESS) {
            return true;
        }
        let rules = access.rules();
        let subject = Subject {
            client_id: Arc::clone(client_id),
            // Which of the two it was is not kept.
            certificate: user.clone(),
            user,
            place: None,
            // What was said of it then is not kept; what it may have at most was asked at CONNECT.
            may_be_vouched: self.shared.may_vouch,
            ..Subject::default()
        };
        let mut granted = Granted::new(rules.rights(subject), rules.wide());
        let is_allowed = self.may_publish_kept(&mut granted, message);
        if !is_allowed {
            let qos = message.records().next().as_ref().and_then(Message::of);
            let qos = qos.map(|message| message.qos).unwrap_or_default();
            tracing::warn!(client_id = &**client_id, "a will may not be sent any more");
            self.counters.messages_dropped.add((DropReason::NotAuthorized, quality(qos)), 1);
        }
        is_allowed
    }

    fn may_publish_kept(&mut self, granted: &mut Granted, batch: &Batch) -> bool {
        let record = batch.records().next();
        let Some(message) = record.as_ref().and_then(Message::of) else { return true };
        granted.may_publish(self.rewriter.topic(message.topic), message.retain)
    }

    /// A session is taken up: its filters are held to the rules, and what it has lost is gone.
    pub(crate) fn hold_to_rules(&mut self, open: &mut Open) -> Vec<Box<str>> {
        if open.subscriptions.has_replays() {
            // Where it was when they began is not kept.
            open.left.since = self.positions.clone();
        }
        take_over(open)
    }

    /// Other rules hold: sessions get their rights anew, some of them; the rest after others had
    /// their turn.
    pub(crate) fn on_rules(&mut self, from: usize) {
        let keys = self.conns.iter().map(|(key, _)| key).filter(|key| *key >= from);
        let keys: Vec<usize> = keys.take(SESSIONS_AT_A_TIME).collect();
        for key in &keys {
            let session = u32::try_from(*key).ok().map(SessionKey);
            let Some(id) = session.and_then(|session| self.id_at(session)) else { continue };
            let lost = self.renew_rights(id);
            self.give_up_filters(id, &lost);
        }
        match keys.last().filter(|_| keys.len() == SESSIONS_AT_A_TIME) {
            Some(last) => self.inbox.push(Event::Rules(last + 1)),
            None => tracing::info!(core = self.index, "access rules hold for all sessions"),
        }
        self.end_turn_soon();
    }

    /// Shared filters that the session may not have any more.
    pub(crate) fn give_up_filters(&mut self, id: ConnId, lost: &[Box<str>]) {
        for filter in lost {
            tracing::info!(filter = &**filter, "a member of a share group lost its right to it");
            self.unsubscribe(id, filter);
        }
    }

    fn renew_rights(&mut self, id: ConnId) -> Vec<Box<str>> {
        let Some(conn) = self.conns.get(id.key as usize) else { return Vec::new() };
        let Phase::Open(open) = &conn.phase else { return Vec::new() };
        let granted = self.granted(conn, &open.client_id, open.identity.as_ref());
        let Some(open) = self.open(id) else { return Vec::new() };
        open.granted = granted;
        take_over(open)
    }
}

fn take_over(open: &mut Open) -> Vec<Box<str>> {
    let Some(granted) = &mut open.granted else { return Vec::new() };
    let all = open.subscriptions.iter();
    granted.take_over(all.map(|(filter, subscription)| (filter, subscription.is_replay)))
}

impl Open {
    /// Whether a message that its subscriptions match may not be sent to it.
    pub(crate) fn is_kept_from(&mut self, topic: &str, place: Option<Place>) -> bool {
        self.granted.as_ref().is_some_and(|granted| granted.is_sieved)
            && self.is_denied(topic, place)
    }

    /// The same, whatever it subscribes now.
    pub(crate) fn is_denied(&mut self, topic: &str, place: Option<Place>) -> bool {
        let is_past = place.is_some_and(|place| self.is_of_the_past(topic, place));
        let Some(granted) = &mut self.granted else { return false };
        !granted.may(Action::Subscribe, topic) || (is_past && !granted.may(Action::Replay, topic))
    }

    /// Whether it may not have a message as a member of a share group.
    pub(crate) fn is_no_member_for(&mut self, topic: &str) -> bool {
        self.granted.as_mut().is_some_and(|granted| !granted.may(Action::Shared, topic))
    }

    /// Whether a message in the log is there for a replay alone.
    fn is_of_the_past(&self, topic: &str, place: Place) -> bool {
        let at = (place.partition, place.offset);
        self.subscriptions.has_replays()
            && at.1 < self.left.since.get(at.0)
            && !self.subscriptions.has_come_to(topic, at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::access_file::AccessFile;
    use crate::config::AccessConfig;
    use crate::core::alone::Alone;
    use crate::core::open::{Identity, METHOD};
    use crate::link::Peer;
    use crate::live::Live;

    /// A core with these rules.
    fn ruled(rules: &str) -> Alone {
        let mut alone = Alone::new(|_| ());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rules");
        std::fs::write(&path, rules).expect("written");
        let config = AccessConfig { rules_file: Some(path), ..AccessConfig::default() };
        let shared = Arc::get_mut(&mut alone.core.shared).expect("no other core");
        shared.access = Live::new(AccessFile::open(&config).expect("good rules"));
        alone
    }

    #[test]
    fn a_certificate_is_asked_for_by_the_rules_also_of_who_signs_in_besides() {
        let mut alone = ruled(
            "allow everyone any plant/#\n\
             allow cert=contractor-* publish yard\n\
             deny cert=contractor-* publish plant/valves/#\n",
        );
        let identity = Identity::plain("c7".into(), METHOD);
        for (certified, valves, yard) in [(Some("contractor-7"), false, true), (None, true, false)]
        {
            let id = alone.accept();
            let conn = alone.core.conn(id).expect("it is there");
            conn.peer = Peer::Net(([192, 0, 2, 1], 1).into());
            conn.certified = certified.map(Into::into);
            let conn = &alone.core.conns[id.key as usize];
            let granted = alone.core.granted(conn, &"client".into(), Some(&identity));
            let mut granted = granted.expect("there are rules");
            assert_eq!(granted.may_publish("plant/valves/1", false), valves, "{certified:?}");
            assert_eq!(granted.may_publish("yard", false), yard, "{certified:?}");
        }
    }

    #[test]
    fn what_a_certificate_says_is_known_as_long_as_its_connection() {
        let mut alone = Alone::new(|_| ());
        let id = alone.accept();
        alone.core.conn(id).expect("it is there").certified = Some("contractor-7".into());
        alone.say(id, 0x10, b"\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c");
        let certified = alone.core.conn(id).expect("it is there").certified.as_deref();
        assert_eq!(certified, Some("contractor-7"));
    }
}
