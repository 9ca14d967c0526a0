//! What listeners are to be, by the configuration. Opens nothing.

use std::sync::Arc;

use crate::banner::Protocol;
use crate::config::{ClientAuth, ListenerConfig, MqttListener, TlsConfig};
use crate::metrics::TlsListener;
use crate::tls::{Settings, Slot, TlsError};

/// What is spoken within TLS, as clients may ask for it.
const ALPN_MQTT: &[u8] = b"mqtt";
const ALPN_WEB: &[u8] = b"http/1.1";

/// What a listener is to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) protocol: Protocol,
    /// Without an address it is off.
    pub(super) common: MqttListener,
    /// Of WebSocket: whose pages may connect.
    pub(super) origins: Option<Vec<String>>,
    pub(super) tls: Option<(TlsListener, TlsConfig)>,
}

impl Wanted {
    /// All that there may be, also those that are off.
    pub(super) fn all(config: &ListenerConfig) -> Vec<Self> {
        let ListenerConfig { mqtt, mqtts, websocket, wss, .. } = config;
        vec![
            Self { protocol: Protocol::Mqtt, common: mqtt.clone(), origins: None, tls: None },
            Self {
                protocol: Protocol::Mqtts,
                common: mqtts.common(),
                origins: None,
                tls: Some((TlsListener::Mqtts, mqtts.tls.clone())),
            },
            Self {
                protocol: Protocol::WebSocket,
                common: websocket.common(),
                origins: Some(websocket.origins.clone()),
                tls: None,
            },
            Self {
                protocol: Protocol::Wss,
                common: wss.common(),
                origins: Some(wss.origins.clone()),
                tls: Some((TlsListener::Wss, wss.tls.clone())),
            },
        ]
    }

    /// Whether clients show certificates.
    pub(super) fn client_auth(&self) -> ClientAuth {
        self.tls.as_ref().map_or(ClientAuth::None, |(_, tls)| tls.client_auth)
    }

    /// Reads its certificates, if it has any.
    pub(super) fn slot(&self) -> Result<Option<Arc<Slot>>, TlsError> {
        let Some((listener, tls)) = &self.tls else { return Ok(None) };
        slot(*listener, tls).map(|slot| Some(Arc::new(slot)))
    }
}

/// Reads the certificates of a listener.
pub(crate) fn slot(listener: TlsListener, tls: &TlsConfig) -> Result<Slot, TlsError> {
    let alpn = match listener {
        TlsListener::Mqtts => Some(ALPN_MQTT),
        TlsListener::Wss | TlsListener::Http => Some(ALPN_WEB),
        TlsListener::Kafkas => None,
    };
    Slot::new(Settings { listener, config: tls.clone(), alpn })
}
