//! Connections that an operator ends. Never decides which.

use tidewire_proto::mqtt::{
    Disconnect, Packet, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode, Version,
};
use tidewire_proto::routing::grant::SessionKey;

use crate::ban::Expulsion;
use crate::core::open::{ConnId, Phase};
use crate::core::send::put;
use crate::core::state::Core;
use crate::link::PUBLISHER;
use crate::metrics::CloseReason;

impl Core {
    /// Ends what is meant and says how many connections that were.
    pub(crate) fn expel(&mut self, order: &Expulsion) -> usize {
        // Our own publisher is no client: nobody is shown it, and it does not come back.
        let means = |id: &str, peer| id != PUBLISHER && order.target.means(id, peer);
        let is_meant = |phase: &Phase, peer| match phase {
            Phase::Open(open) => means(&open.client_id, peer),
            Phase::Checking(claim) | Phase::Claiming(claim) => means(&claim.client_id, peer),
            Phase::Authenticating(login) => means(&login.claim.client_id, peer),
            Phase::Fresh | Phase::Closing => false,
        };
        let meant: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, conn)| is_meant(&conn.phase, conn.peer))
            .filter_map(|(key, _)| self.id_at(SessionKey(u32::try_from(key).ok()?)))
            .collect();
        for id in &meant {
            self.send_away(*id, &order.words);
        }
        meant.len()
    }

    fn send_away(&mut self, id: ConnId, words: &str) {
        let Some(conn) = self.conn(id) else { return };
        if let Phase::Open(open) = &conn.phase
            && open.version == Version::V5
            && open.is_announced
        {
            tracing::info!(client_id = &*open.client_id, peer = %conn.peer, words, "sent away");
            let reason = ReasonCode::ADMINISTRATIVE_ACTION;
            let mut properties = PropertiesBuilder::new();
            // Without words that the client has no room for, or that are none, it gets the reason.
            let told = properties.push(PropertyId::ReasonString, PropertyValue::Text(words));
            let fits = words.len() + 32 <= open.terms.packet_bytes_max as usize;
            let goodbye = match told.is_ok() && fits && open.terms.wants_reasons {
                true => Disconnect { reason, properties: properties.as_properties() },
                false => Disconnect::with_reason(reason),
            };
            put(&Packet::Disconnect(goodbye), Version::V5, &mut conn.out);
        }
        self.close(id, CloseReason::Expelled, None);
    }
}
