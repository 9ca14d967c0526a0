//! Valid packets of every type and version, from random parts. Never checks anything itself.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketKind, Properties, PropertiesBuilder,
    PropertyId, PropertyPlace, PropertyValue, Publish, ReasonCode, RetainHandling, SubAck,
    Subscribe, SubscribeFiltersBuilder, SubscribeOptions, Unsubscribe, UnsubscribeFiltersBuilder,
    VARINT_MAX, Version, Will,
};
use tidewire_proto::qos::Qos;

/// What a packet is put together from. Not every packet needs every part.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) kind: PacketKind,
    pub(crate) version: Version,
    pub(crate) flags: [bool; 6],
    pub(crate) qos: Qos,
    pub(crate) packet_id: u16,
    pub(crate) topic: String,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) properties: Vec<(PropertyId, u32)>,
    pub(crate) filters: Vec<(String, u8)>,
    pub(crate) reasons: Vec<usize>,
}

/// Any packet of any version; AUTH only where it exists.
pub(crate) fn parts() -> impl Strategy<Value = Parts> {
    let head = (select(&PacketKind::ALL[..]), select(&Version::ALL[..]));
    let numbers = (any::<[bool; 6]>(), 0..=2_u8, 1..=u16::MAX);
    let texts = ("[a-zé🦀/$ ]{1,20}", "[a-zA-Z0-9é]{0,12}", vec(any::<u8>(), 0..300));
    let property = (select(PropertyId::ALL), any::<u32>());
    let filter = "(\\$share/g/)?(\\+|[a-zé]{1,3})(/(\\+|[a-zé]{0,3})){0,3}(/#)?";
    let lists = (vec(property, 0..12), vec((filter, 0..=47_u8), 1..5), vec(any::<usize>(), 1..5));
    (head, numbers, texts, lists).prop_map(
        |((kind, version), (flags, qos, packet_id), (topic, name, bytes), lists)| Parts {
            kind,
            version: if kind == PacketKind::Auth { Version::V5 } else { version },
            flags,
            qos: Qos::from_bits(qos).expect("0, 1 or 2"),
            packet_id,
            topic,
            name,
            bytes,
            properties: lists.0,
            filters: lists.1,
            reasons: lists.2,
        },
    )
}

impl Parts {
    /// Puts the packet together and shows it.
    pub(crate) fn with_packet<R>(&self, then: impl FnOnce(&Packet<'_>) -> R) -> R {
        let own = self.properties(PropertyPlace::Packet(self.kind));
        let will = self.properties(PropertyPlace::Will);
        let (mut subscribe, mut unsubscribe) =
            (SubscribeFiltersBuilder::new(), UnsubscribeFiltersBuilder::new());
        for (filter, options) in &self.filters {
            subscribe.push(filter, self.options(filter, *options)).expect("valid filter");
            unsubscribe.push(filter).expect("valid filter");
        }
        let codes: Vec<u8> = self.reasons.iter().map(|pick| self.reason(*pick).0).collect();
        let (packet_id, properties) = (self.packet_id(), own.as_properties());
        let (reason, has_codes) = (ReasonCode(codes[0]), self.kind == PacketKind::SubAck);
        let codes = if has_codes || self.version == Version::V5 { &codes[..] } else { &[] };
        let ack = Ack { packet_id, reason, properties };
        let suback = SubAck { packet_id, properties, codes };
        then(&match self.kind {
            PacketKind::Connect => Packet::Connect(self.connect(properties, will.as_properties())),
            PacketKind::ConnAck => Packet::ConnAck(ConnAck {
                session_present: self.flags[0] && !reason.is_error() && self.is_past_v31(),
                reason,
                properties,
            }),
            PacketKind::Publish => Packet::Publish(self.publish(properties)),
            PacketKind::PubAck => Packet::PubAck(ack),
            PacketKind::PubRec => Packet::PubRec(ack),
            PacketKind::PubRel => Packet::PubRel(ack),
            PacketKind::PubComp => Packet::PubComp(ack),
            PacketKind::Subscribe => {
                let filters = subscribe.as_filters();
                Packet::Subscribe(Subscribe { packet_id, properties, filters })
            }
            PacketKind::SubAck => Packet::SubAck(suback),
            PacketKind::Unsubscribe => {
                let filters = unsubscribe.as_filters();
                Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters })
            }
            PacketKind::UnsubAck => Packet::UnsubAck(suback),
            PacketKind::PingReq => Packet::PingReq,
            PacketKind::PingResp => Packet::PingResp,
            PacketKind::Disconnect => Packet::Disconnect(Disconnect { reason, properties }),
            PacketKind::Auth => Packet::Auth(Auth { reason, properties }),
        })
    }

    fn packet_id(&self) -> PacketId {
        PacketId::new(self.packet_id).expect("from 1")
    }

    fn is_past_v31(&self) -> bool {
        self.version != Version::V31
    }

    fn publish<'a>(&'a self, properties: Properties<'a>) -> Publish<'a> {
        let is_named = self.qos != Qos::AtMostOnce;
        let may_be_empty = properties.topic_alias().is_some();
        Publish {
            dup: self.flags[0] && is_named,
            qos: self.qos,
            retain: self.flags[1],
            topic: if self.flags[2] && may_be_empty { "" } else { &self.topic },
            packet_id: is_named.then(|| self.packet_id()),
            properties,
            payload: &self.bytes,
        }
    }

    fn connect<'a>(&'a self, properties: Properties<'a>, will: Properties<'a>) -> Connect<'a> {
        let has_user_name = self.flags[2];
        let has_password = self.flags[3] && (has_user_name || self.version == Version::V5);
        Connect {
            version: self.version,
            clean_start: self.flags[0],
            keep_alive_s: self.packet_id,
            client_id: &self.name,
            will: self.flags[1].then_some(Will {
                qos: self.qos,
                retain: self.flags[4],
                topic: &self.topic,
                payload: &self.bytes,
                properties: will,
            }),
            user_name: has_user_name.then_some(&self.name),
            password: has_password.then_some(&self.bytes),
            properties,
        }
    }

    fn options(&self, filter: &str, bits: u8) -> SubscribeOptions {
        let qos = Qos::from_bits(bits & 3).unwrap_or_default();
        if self.version != Version::V5 {
            return SubscribeOptions::with_qos(qos);
        }
        let handling = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
        SubscribeOptions {
            qos,
            no_local: bits & 4 != 0 && !filter.starts_with("$share/"),
            retain_as_published: bits & 8 != 0,
            retain_handling: handling[usize::from(bits >> 4)],
        }
    }

    /// One of the codes that the packet may carry in its version.
    fn reason(&self, pick: usize) -> ReasonCode {
        let before_v5: &[ReasonCode] = match self.kind {
            PacketKind::SubAck => &[
                ReasonCode::SUCCESS,
                ReasonCode::GRANTED_QOS_1,
                ReasonCode::GRANTED_QOS_2,
                ReasonCode::UNSPECIFIED_ERROR,
            ],
            PacketKind::ConnAck => &[
                ReasonCode::SUCCESS,
                ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
                ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
                ReasonCode::SERVER_UNAVAILABLE,
                ReasonCode::BAD_USER_NAME_OR_PASSWORD,
                ReasonCode::NOT_AUTHORIZED,
            ],
            _ => &[ReasonCode::SUCCESS],
        };
        let listed = ReasonCode::ALL.iter().copied().filter(|code| code.allowed_in(self.kind));
        let mut codes: Vec<ReasonCode> = listed.collect();
        if self.version != Version::V5 || codes.is_empty() {
            codes = before_v5.to_vec();
        }
        codes[pick % codes.len()]
    }

    /// Those that may stand there, as often as they may; a method wherever it is needed.
    fn properties(&self, place: PropertyPlace) -> PropertiesBuilder {
        let mut builder = PropertiesBuilder::new();
        if self.version != Version::V5 {
            return builder;
        }
        let method = (PropertyId::AuthenticationMethod, 0);
        let all = [method].into_iter().chain(self.properties.iter().copied());
        for (id, number) in all.filter(|(id, _)| id.allowed_in(place)) {
            let is_new = builder.as_properties().iter().all(|(other, _)| other != id);
            let repeats = id == PropertyId::UserProperty
                || (id == PropertyId::SubscriptionId && self.kind == PacketKind::Publish);
            if is_new || repeats {
                self.push(id, number, &mut builder);
            }
        }
        builder
    }

    /// The builder refuses values of other types, so the right one is found by trying.
    fn push(&self, id: PropertyId, number: u32, builder: &mut PropertiesBuilder) {
        let short = u16::try_from(number >> 16).expect("16 bits") | 1;
        let tried = [
            PropertyValue::Byte(u8::from(number.is_multiple_of(2))),
            PropertyValue::TwoByte(short),
            PropertyValue::FourByte(number | 1),
            PropertyValue::Varint(number % VARINT_MAX + 1),
            PropertyValue::Text(&self.topic),
            PropertyValue::Binary(&self.bytes),
            PropertyValue::Pair(&self.name, &self.topic),
        ];
        let taken = tried.into_iter().filter(|value| builder.push(id, *value).is_ok()).count();
        assert_eq!(taken, 1, "{id} takes one type");
    }
}
