//! CONNECT: what is agreed on, and the claim on the client id.

use std::sync::Arc;

use tidewire_proto::mqtt::{
    self, ConnAck, Connect, Packet, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode,
    Version,
};
use tidewire_proto::{delayed, topic};
use tidewire_store::Table;
use tidewire_store::rows::session::SessionRow;
use tokio::sync::oneshot;

use crate::config::MqttConfig;
use crate::core::beside::has_too_many;
use crate::core::denial::{Denial, Hearing, put_with_words};
use crate::core::inbox::{Event, Release};
use crate::core::open::{
    CERTIFICATE, Claim, ConnId, Identity, METHOD, Named, Offer, Phase, Terms, Will,
};
use crate::core::publish::is_ours;
use crate::core::send::put;
use crate::core::state::{Core, Deferred};
use crate::link::{IN_PROCESS, Peer};
use crate::metrics::RefuseReason;
use crate::registry::Owner;

/// To a client that was not understood only a code is said.
const UNKNOWN: Hearing = Hearing { bytes_max: 0, wants_words: false };
/// A CONNACK without properties.
pub(crate) const REFUSAL_BYTES: u32 = 5;

const FORBIDDEN: (ReasonCode, RefuseReason) =
    (ReasonCode::NOT_AUTHORIZED, RefuseReason::NotAuthorized);
const SHUT_OUT: (ReasonCode, RefuseReason) = (ReasonCode::BANNED, RefuseReason::Banned);
/// To whom brings the client id of somebody else.
pub(crate) const OF_ANOTHER: &str = "the client id belongs to another user";

impl Core {
    pub(crate) fn on_connect(&mut self, id: ConnId, connect: &Connect<'_>) {
        let Some(conn) = self.conn(id) else { return };
        conn.named = Some(Box::new(Named::of(connect.client_id, connect.user_name)));
        let peer = conn.peer;
        let certified = conn.certified.clone();
        let is_inside = peer == Peer::InProcess;
        if let Err(no) = self.check_connect(connect, peer) {
            let hearing = hearing(connect);
            if hearing.bytes_max < REFUSAL_BYTES {
                return self.turn_away(id, RefuseReason::Malformed);
            }
            let said = Some((no.words, hearing));
            if no.reason == ReasonCode::QUOTA_EXCEEDED {
                let no = (no.reason, RefuseReason::Properties);
                return self.refuse_counted(id, connect.version, no, said);
            }
            return self.refuse(id, connect.version, no.reason, said);
        }
        let is_assigned = connect.client_id.is_empty();
        let client_id: Arc<str> = match is_assigned {
            true => self.assigned_client_id(id.serial),
            false => connect.client_id.into(),
        };
        let mut terms = self.terms(connect, is_assigned, is_inside);
        if connect.properties.request_response_information() == Some(true) {
            terms.response_topic = self.response_topic(&client_id);
        }
        let claim = Claim {
            client_id,
            version: connect.version,
            clean_start: connect.clean_start,
            terms,
            // What a certificate says goes before what the client says.
            user: certified.clone().or_else(|| connect.user_name.map(Into::into)),
            will: connect.will.as_ref().map(|will| Box::new(Will::of(will, self.now_ms))),
            identity: certified.map(|user| Identity::plain(user, CERTIFICATE)),
            asker: None,
            releases: Vec::new(),
            is_abandoned: false,
        };
        match connect.properties.authentication_method() {
            None => self.identify(id, claim, connect.password),
            Some(_) => {
                self.begin_login(id, claim, connect.properties.authentication_data());
            }
        }
    }

    /// All that can be judged without the session is: claim the client id.
    pub(crate) fn claim(&mut self, id: ConnId, mut claim: Claim) {
        let peer = self.conn(id).map_or(Peer::InProcess, |conn| conn.peer);
        // Not before it has shown who it is: strangers do not learn who is shut out.
        if self.shared.bans.forbid(&claim.client_id, peer, self.now_ms) {
            let words = "an operator has shut this client out";
            return self.refuse_claim(id, &claim, SHUT_OUT, words);
        }
        let user: Option<Box<str>> = claim.named().map(Into::into);
        if let Some(will) = &mut claim.will {
            will.user.clone_from(&user);
            will.left_by = self.leaver(id, claim.identity.as_ref());
        }
        if !self.may_leave_will(id, &claim) {
            return self.refuse_claim(id, &claim, FORBIDDEN, "the will may not be published");
        }
        let client_id = Arc::clone(&claim.client_id);
        let connack = self.connack(claim.version, &client_id, &claim.terms, false);
        if connack.len() > claim.terms.packet_bytes_max as usize {
            // The client would have to refuse our first word.
            return self.turn_away(id, RefuseReason::Malformed);
        }
        if self.is_of_another(&client_id, user.as_deref()) {
            // Nor may it have the client id for a moment, or wait for it: its owner would meanwhile
            // be the one who is refused.
            return self.refuse_claim(id, &claim, FORBIDDEN, OF_ANOTHER);
        }
        let owner = self.owner(id);
        let Ok(former) = self.shared.registry.claim(&client_id, owner, user) else {
            // Neither its session nor its connection is touched.
            return self.refuse_claim(id, &claim, FORBIDDEN, OF_ANOTHER);
        };
        let until_ms = claim.identity.as_ref().and_then(|identity| identity.until_ms);
        let Some(conn) = self.conn(id) else { return };
        conn.until_ms = until_ms.unwrap_or(i64::MAX);
        conn.phase = Phase::Claiming(Box::new(claim));
        conn.socket.pause(true);
        match former {
            None => self.on_claimed(id),
            Some(former) => self.wait_for(id, client_id, former),
        }
    }

    /// Whether the session of a client id is kept for another user.
    fn is_of_another(&self, client_id: &str, user: Option<&str>) -> bool {
        if !self.shared.sessions.may_have(client_id.as_bytes()) {
            return false;
        }
        // What cannot be read is told of when it is taken up.
        let row = self.shared.store.get(Table::Sessions, client_id.as_bytes());
        let row = row.ok().flatten().and_then(|row| SessionRow::decode(&row).ok());
        row.is_some_and(|row| !row.is_expired(self.now_ms) && row.is_foreign_to(user))
    }

    fn check_connect(&self, connect: &Connect<'_>, peer: Peer) -> Result<(), Denial> {
        let limits = &self.shared.limits;
        let most = limits.user_properties_max;
        let wrong_id = |words| Err(Denial::new(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, words));
        if connect.client_id.len() > limits.client_id_bytes_max as usize {
            return wrong_id("the client id is longer than it may be");
        }
        if connect.client_id.starts_with(IN_PROCESS) && peer != Peer::InProcess {
            return wrong_id("client ids that begin so are for the process of the broker");
        }
        // Without a name, an older client cannot come back to a session.
        if connect.client_id.is_empty()
            && connect.version != Version::V5
            && (!connect.clean_start || connect.version == Version::V31)
        {
            return wrong_id("there is none");
        }
        let method = connect.properties.authentication_method();
        if method.is_some_and(|method| !self.has_method(method)) {
            let reason = ReasonCode::BAD_AUTHENTICATION_METHOD;
            return Err(Denial::new(reason, "the broker does not have this method"));
        }
        let will = connect.will.as_ref();
        let of_will = will.is_some_and(|will| has_too_many(will.properties, most));
        if of_will || has_too_many(connect.properties, most) {
            let words = "there are more user properties than there may be";
            return Err(Denial::new(ReasonCode::QUOTA_EXCEEDED, words));
        }
        will.map_or(Ok(()), |will| check_will(will, limits))
    }

    fn terms(&self, connect: &Connect<'_>, is_assigned: bool, is_inside: bool) -> Terms {
        let limits = &self.shared.limits;
        let properties = &connect.properties;
        let wanted_s = match connect.version {
            Version::V5 => properties.session_expiry().unwrap_or(0),
            Version::V31 | Version::V311 if connect.clean_start => 0,
            Version::V31 | Version::V311 => u32::MAX,
        };
        let expiry_s = wanted_s.min(limits.session_expiry_s_max);
        // Only MQTT 5 lets us ask for a shorter one; 0 means never. Within the process nobody can
        // be lost without our knowing.
        let is_keep_alive_cut = connect.version == Version::V5
            && !is_inside
            && limits.keep_alive_s_max < u16::MAX
            && !(1..=limits.keep_alive_s_max).contains(&connect.keep_alive_s);
        Terms {
            expiry_s,
            is_expiry_cut: expiry_s != wanted_s,
            offer: Offer {
                receive_max: limits.receive_max,
                packet_bytes_max: limits.packet_bytes_max,
                alias_max: limits.topic_alias_max,
            },
            receive_max: properties.receive_maximum().unwrap_or(u16::MAX).min(limits.inflight_max),
            packet_bytes_max: properties.maximum_packet_size().unwrap_or(u32::MAX),
            keep_alive_s: match is_keep_alive_cut {
                true => limits.keep_alive_s_max,
                false => connect.keep_alive_s,
            },
            is_keep_alive_cut,
            clean_start: connect.clean_start,
            is_assigned,
            authentication: None,
            wants_reasons: properties.request_problem_information().unwrap_or(true),
            alias_max: match connect.version {
                Version::V5 => properties.topic_alias_maximum().unwrap_or(0),
                Version::V31 | Version::V311 => 0,
            }
            .min(limits.topic_alias_out_max),
            response_topic: None,
        }
    }

    /// Where a client may have answers sent to. A client id with wildcards is no topic.
    fn response_topic(&self, client_id: &str) -> Option<Box<str>> {
        let prefix = self.shared.limits.response_topic_prefix.as_ref()?;
        let topic = format!("{prefix}/{client_id}");
        topic::check_topic_name(&topic).is_ok().then(|| topic.into())
    }

    fn assigned_client_id(&self, serial: u64) -> Arc<str> {
        // The start time keeps names of an earlier run of the broker apart.
        format!("tw-{:x}-{serial:x}", self.now_ms).into()
    }

    /// Asks the former owner to let go, and goes on when it has.
    fn wait_for(&mut self, id: ConnId, client_id: Arc<str>, former: Owner) {
        let (done, released) = oneshot::channel();
        let event = Event::Release(Release {
            client_id,
            conn: ConnId { key: former.key, serial: former.serial },
            done,
        });
        self.shared.inboxes[former.core].push(event);
        self.deferred.push(Deferred::Claim(id, released));
        self.end_turn_soon();
    }

    /// Refuses a connection before it is open, and says why, as far as is known what may be said.
    pub(crate) fn refuse(
        &mut self,
        id: ConnId,
        version: Version,
        reason: ReasonCode,
        said: Option<(&str, Hearing)>,
    ) {
        let counted = match reason {
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => RefuseReason::Version,
            ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => RefuseReason::ClientId,
            ReasonCode::BANNED => RefuseReason::Banned,
            ReasonCode::BAD_AUTHENTICATION_METHOD | ReasonCode::NOT_AUTHORIZED => {
                RefuseReason::NotAuthorized
            }
            ReasonCode::TOPIC_NAME_INVALID | ReasonCode::PROTOCOL_ERROR => RefuseReason::Malformed,
            _ => RefuseReason::Unavailable,
        };
        self.refuse_counted(id, version, (reason, counted), said);
    }

    /// The same, where the code alone does not say what is to be counted.
    pub(crate) fn refuse_counted(
        &mut self,
        id: ConnId,
        version: Version,
        (reason, counted): (ReasonCode, RefuseReason),
        said: Option<(&str, Hearing)>,
    ) {
        let Some(conn) = self.conn(id) else { return };
        let (words, hearing) = said.map_or((None, UNKNOWN), |(words, to)| (Some(words), to));
        put_with_words(&mut conn.out, words, hearing, |properties, out| {
            let ack = ConnAck { session_present: false, reason, properties };
            put(&Packet::ConnAck(ack), version, out);
        });
        self.turn_away_saying(id, counted, words);
    }

    /// The CONNACK of an open session.
    pub(crate) fn connack(
        &self,
        version: Version,
        client_id: &str,
        terms: &Terms,
        session_present: bool,
    ) -> Vec<u8> {
        let offer = terms.offer;
        let mut properties = PropertiesBuilder::default();
        let mut announced = vec![
            (PropertyId::ReceiveMaximum, PropertyValue::TwoByte(offer.receive_max)),
            (PropertyId::MaximumPacketSize, PropertyValue::FourByte(offer.packet_bytes_max)),
            (PropertyId::TopicAliasMaximum, PropertyValue::TwoByte(offer.alias_max)),
        ];
        if terms.is_expiry_cut {
            let expiry = PropertyValue::FourByte(terms.expiry_s);
            announced.push((PropertyId::SessionExpiry, expiry));
        }
        if terms.is_keep_alive_cut {
            let keep_alive = PropertyValue::TwoByte(terms.keep_alive_s);
            announced.push((PropertyId::ServerKeepAlive, keep_alive));
        }
        if terms.is_assigned {
            announced.push((PropertyId::AssignedClientId, PropertyValue::Text(client_id)));
        }
        if let Some(topic) = &terms.response_topic {
            announced.push((PropertyId::ResponseInformation, PropertyValue::Text(topic)));
        }
        if let Some(last_word) = &terms.authentication {
            let data = PropertyValue::Binary(last_word.as_bytes());
            announced.push((PropertyId::AuthenticationMethod, PropertyValue::Text(METHOD)));
            announced.push((PropertyId::AuthenticationData, data));
        }
        for (property, value) in announced {
            if let Err(error) = properties.push(property, value) {
                tracing::error!(%error, "a property of CONNACK cannot be sent");
            }
        }
        let ack = ConnAck {
            session_present,
            reason: ReasonCode::SUCCESS,
            properties: properties.as_properties(),
        };
        let mut bytes = Vec::new();
        put(&Packet::ConnAck(ack), version, &mut bytes);
        bytes
    }
}

/// What may be said to a client that is not let in.
fn hearing(connect: &Connect<'_>) -> Hearing {
    let properties = &connect.properties;
    let wants_words = properties.request_problem_information().unwrap_or(true);
    Hearing {
        bytes_max: properties.maximum_packet_size().unwrap_or(u32::MAX),
        wants_words: wants_words && connect.version == Version::V5,
    }
}

fn check_will(will: &mqtt::Will<'_>, limits: &MqttConfig) -> Result<(), Denial> {
    // A will has a delay of its own.
    if topic::levels(will.topic) > usize::from(limits.topic_levels_max)
        || will.topic.len() > usize::from(limits.topic_bytes_max)
        || will.topic.starts_with(delayed::PREFIX)
    {
        let words = "the topic of the will is too long, or begins with $delayed/";
        return Err(Denial::new(ReasonCode::TOPIC_NAME_INVALID, words));
    }
    match is_ours(will.topic) {
        true => Err(Denial::new(ReasonCode::NOT_AUTHORIZED, "only the broker speaks in $SYS")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_store::rows::session::SessionRow;
    use tidewire_store::{Commit, Table, TableChange};

    use crate::core::alone::Alone;
    use crate::core::open::{ConnId, Phase};
    use crate::registry::Owner;

    /// To `t` at QoS 0, with a payload of so many bytes.
    fn publish(alone: &mut Alone, id: ConnId, bytes: usize) -> bool {
        let mut body = b"\x00\x01t\x00".to_vec();
        body.resize(body.len() + bytes, b'x');
        alone.say(id, 0x30, &body);
        alone.settle();
        alone.core.open(id).is_some()
    }

    #[test]
    fn what_a_client_was_told_that_it_may_send_it_may_send_after_a_reload() {
        let mut alone = Alone::new(|_| ());
        let before = alone.connect("before");
        alone.settle();
        let (mut limits, share) = {
            let shared = &alone.core.shared;
            ((*shared.limits).clone(), (*shared.share).clone())
        };
        limits.packet_bytes_max = 100;
        alone.core.shared.set_limits(&limits, &share);
        let after = alone.connect("after");
        alone.settle();
        assert!(publish(&mut alone, before, 110));
        assert!(publish(&mut alone, after, 90));
        assert!(!publish(&mut alone, after, 110));
    }

    /// Who claims a client id keeps its owner out as long as he has it: also while he waits.
    #[test]
    fn a_client_id_whose_session_is_kept_for_a_user_is_not_claimed_by_another() {
        for (user, ended_ms, is_let) in [
            (Some("ann"), i64::MAX, false),
            // It is over: nobody looked yet.
            (Some("ann"), 1, true),
            (None, i64::MAX, true),
        ] {
            let mut alone = Alone::new(|_| ());
            let client_id: Arc<str> = "pump".into();
            let user: Option<Box<str>> = user.map(Into::into);
            let row = SessionRow { expiry_s: 3600, ended_ms: Some(ended_ms), user: user.clone() };
            let key = client_id.as_bytes().into();
            let row = TableChange::new(Table::Sessions, key, Some(row.encode()));
            alone.store.commit(Commit { appends: vec![], changes: vec![row] }).expect("committed");
            alone.core.shared.sessions.put(client_id.as_bytes(), Some(0));
            // Somebody looks after what is due for her.
            let keeper = Owner { core: 0, key: u32::MAX, serial: u64::MAX };
            assert!(alone.core.shared.registry.claim_if_free(&client_id, keeper));
            let stranger = alone.connect("pump");
            let waits = alone
                .core
                .conn(stranger)
                .is_some_and(|conn| matches!(conn.phase, Phase::Claiming(_)));
            assert_eq!(waits, is_let, "{user:?} {ended_ms}");
            if !is_let {
                let hers = Owner { core: 0, key: 7, serial: 7 };
                let claimed = alone.core.shared.registry.claim(&client_id, hers, user);
                assert_eq!(claimed, Ok(Some(keeper)), "hers at once");
            }
        }
    }
}
