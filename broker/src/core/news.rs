//! What a core tells its log of what peers can bring about at will: so often, and then only how
//! much was left out.

use std::io;

use tidewire_proto::websocket::Refusal;

use crate::core::open::{ConnId, Phase};
use crate::core::state::Core;
use crate::core::tellers::News;
use crate::metrics::RefuseReason;

impl Core {
    /// Whether there is room for one more of these.
    pub(crate) fn may_tell(&mut self, news: News) -> bool {
        self.tellers.may_tell(news, self.uptime_ms / 1_000)
    }

    /// What a client sends is not what its listener speaks: WebSocket, or TLS. Whoever has not said
    /// CONNECT is counted as refused.
    pub(crate) fn on_unreadable(&mut self, id: ConnId, error: &io::Error) {
        if error.kind() != io::ErrorKind::InvalidData {
            return;
        }
        let Some(conn) = self.conn(id) else { return };
        // What it was told why is on its way yet.
        conn.socket.close();
        let (peer, listener) = (conn.peer, conn.door.listener);
        let is_new = matches!(conn.phase, Phase::Fresh | Phase::Authenticating(_));
        let refusal = error.get_ref().and_then(|why| why.downcast_ref::<Refusal>());
        if is_new {
            let reason = match refusal {
                Some(Refusal::Origin) => RefuseReason::Origin,
                _ => RefuseReason::Malformed,
            };
            self.counters.connections_refused.add(reason, 1);
        }
        if self.may_tell(News::Unread) {
            let why = refusal.map_or_else(|| error.to_string(), |refusal| refusal.why().into());
            let cause = error.get_ref().and_then(|inner| inner.source());
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            let what = if is_new { "refused" } else { "ended" };
            tracing::info!(%peer, listener, "connection {what}: {why}{cause}");
        }
    }
}
