//! Where the rules are asked for a session as a whole: at CONNECT, for its will, and when other
//! rules hold. Single packets ask where they are handled.

use std::sync::Arc;

use tidewire_proto::access::{self, Action, LISTENERS, Subject, rights_of};
use tidewire_proto::message::Message;
use tidewire_proto::record::Batch;
use tidewire_proto::routing::grant::SessionKey;
use tidewire_proto::session::window::Place;
use tidewire_store::rows::will::Leaver;

use crate::core::granted::Granted;
use crate::core::inbox::Event;
use crate::core::open::{Claim, Conn, ConnId, Identity, Open, Phase, Will};
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
        let access = &*self.shared.access;
        let rules = access.rules();
        let address = conn.peer.ip()?;
        let subject = Subject {
            client_id: Arc::clone(client_id),
            user: identity.and_then(Identity::named).map(Into::into),
            certificate: conn.certified.clone(),
            place: Some(access::Place { address: Some(address), listener: conn.door.listener }),
            ..Subject::default()
        };
        let vouched = identity.and_then(|identity| identity.vouched.as_deref());
        let rights = rights_of(rules.as_deref(), subject, vouched)?;
        Some(Box::new(Granted::new(rights, access.wide())))
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

    /// What is kept of a client, so that its will can be held to the rules when it is away.
    pub(crate) fn leaver(&self, id: ConnId, identity: Option<&Identity>) -> Option<Arc<Leaver>> {
        let conn = self.conns.get(id.key as usize)?;
        let address = conn.peer.ip()?;
        let vouched = identity.and_then(|identity| identity.vouched.as_deref());
        Some(Arc::new(Leaver {
            certificate: conn.certified.clone(),
            address: Some(address),
            listener: conn.door.listener.into(),
            groups: vouched.map(|vouched| Arc::clone(&vouched.groups)).unwrap_or_default(),
            is_superuser: vouched.is_some_and(|vouched| vouched.is_superuser),
        }))
    }

    /// Whether a will may still be sent: by what was known of its client when it left it. What it
    /// may have at most was asked then.
    pub(crate) fn may_send_will(&mut self, client_id: &Arc<str>, will: &Will) -> bool {
        let Some(rules) = self.shared.access.rules() else { return true };
        let is_superuser = will.left_by.as_ref().is_some_and(|leaver| leaver.is_superuser);
        if client_id.starts_with(IN_PROCESS) || is_superuser {
            return true;
        }
        let subject = self.left_behind(client_id, will);
        let mut granted = Granted::new(rules.rights(subject), rules.wide());
        let is_allowed = self.may_publish_kept(&mut granted, &will.message);
        if !is_allowed {
            let qos = will.message.records().next().as_ref().and_then(Message::of);
            let qos = qos.map(|message| message.qos).unwrap_or_default();
            tracing::warn!(client_id = &**client_id, "a will may not be sent any more");
            self.counters.messages_dropped.add((DropReason::NotAuthorized, quality(qos)), 1);
        }
        is_allowed
    }

    /// Who left a will, as far as that is known.
    fn left_behind(&self, client_id: &Arc<str>, will: &Will) -> Subject {
        let (client_id, user) = (Arc::clone(client_id), will.user.clone());
        match will.left_by.as_deref() {
            Some(leaver) => Subject {
                client_id,
                user,
                certificate: leaver.certificate.clone(),
                place: place_of(leaver),
                groups: Arc::clone(&leaver.groups),
                may_be_vouched: false,
            },
            // Older versions kept no more than a name, and not which of the two it was.
            None => Subject {
                client_id,
                certificate: user.clone(),
                user,
                may_be_vouched: self.shared.may_vouch,
                ..Subject::default()
            },
        }
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

/// Where it came in. A listener that no rule can name says nothing.
fn place_of(leaver: &Leaver) -> Option<access::Place> {
    let listener = LISTENERS.into_iter().find(|known| *known == &*leaver.listener)?;
    Some(access::Place { address: leaver.address, listener })
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

    use tidewire_proto::access::Vouched;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::rows::will::Leaver;

    use crate::access_file::AccessFile;
    use crate::config::AccessConfig;
    use crate::core::alone::Alone;
    use crate::core::open::{Identity, METHOD, Will};
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

    fn will(left_by: Option<Leaver>, topic: &str) -> Will {
        let mut message = BatchBuilder::new();
        message.push(7, Some(topic.as_bytes()), Some(b"x"), &[]);
        let (user, left_by) = (Some("ann".into()), left_by.map(Arc::new));
        Will { delay_s: 0, user, left_by, message: message.finish() }
    }

    #[test]
    fn a_will_is_held_to_the_rules_by_what_was_known_of_its_client_when_it_left_it() {
        let mut alone = ruled(
            "group plant\n\
             allow group=plant publish of/group\n\
             allow cert=device-* publish of/cert\n\
             allow cert=ann publish of/user\n\
             allow listener=mqtts publish of/listener\n\
             allow address=192.0.2.0/24 publish of/address\n",
        );
        Arc::get_mut(&mut alone.core.shared).expect("no other core").may_vouch = true;
        let plain = Leaver { listener: "mqtt".into(), ..Leaver::default() };
        let plant: Arc<[Box<str>]> = ["plant".into()].into();
        let leavers = [
            ("group", Leaver { groups: plant, ..plain.clone() }),
            ("cert", Leaver { certificate: Some("device-7".into()), ..plain.clone() }),
            ("listener", Leaver { listener: "mqtts".into(), ..plain.clone() }),
            ("address", Leaver { address: "192.0.2.7".parse().ok(), ..plain.clone() }),
        ];
        let mut may_send = |left_by, topic: &str| {
            let topic = format!("of/{topic}");
            alone.core.may_send_will(&"client".into(), &will(left_by, &topic))
        };
        for (name, leaver) in &leavers {
            for (topic, _) in &leavers {
                let (left_by, expected) = (Some(leaver.clone()), topic == name);
                assert_eq!(may_send(left_by, topic), expected, "{name} {topic}");
            }
        }
        assert!(!may_send(Some(plain.clone()), "user"), "its name is not that of its certificate");
        let superuser = Leaver { is_superuser: true, ..plain };
        assert!(may_send(Some(superuser), "nobody"), "no rule holds for it");
        assert!(may_send(None, "group") && !may_send(None, "nobody"), "one of an older version");
    }

    #[test]
    fn of_a_client_is_kept_what_its_will_is_held_to() {
        let mut alone = Alone::new(|_| ());
        let id = alone.accept();
        assert_eq!(alone.core.leaver(id, None), None, "it is of this process");
        let conn = alone.core.conn(id).expect("it is there");
        conn.peer = Peer::Net(([192, 0, 2, 1], 1).into());
        conn.certified = Some("device-7".into());
        conn.door.listener = "mqtts";
        let mut identity = Identity::plain("ann".into(), METHOD);
        let groups: Arc<[Box<str>]> = ["plant".into()].into();
        let said = |is_superuser| {
            let groups = Arc::clone(&groups);
            Vouched { groups, narrow: None, is_superuser }.shared()
        };
        for is_superuser in [false, true] {
            identity.vouched = said(is_superuser);
            let leaver = alone.core.leaver(id, Some(&identity)).expect("it is on the network");
            let expected = Leaver {
                certificate: Some("device-7".into()),
                address: "192.0.2.1".parse().ok(),
                listener: "mqtts".into(),
                groups: Arc::clone(&groups),
                is_superuser,
            };
            assert_eq!(*leaver, expected);
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
