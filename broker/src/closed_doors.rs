//! Listeners beyond this machine at which nobody could come in: the broker does not start with one.
//! Binds nothing.

use std::net::SocketAddr;

use crate::config::{
    Anonymous, AuthConfig, ClientAuth, Config, ListenerConfig, TlsConfig, TlsIdentity,
};
use crate::error::StartError;

/// Those of this configuration, each with what to do about it.
pub(crate) fn closed_doors(config: &Config) -> Vec<StartError> {
    let ListenerConfig { mqtt, mqtts, websocket, wss, kafka, kafkas, .. } = &config.listener;
    let rows: [(&'static str, Option<SocketAddr>, Anonymous, Option<&TlsConfig>); 6] = [
        ("mqtt", mqtt.bind, mqtt.anonymous, None),
        ("mqtts", mqtts.bind, mqtts.anonymous, Some(&mqtts.tls)),
        ("websocket", websocket.bind, websocket.anonymous, None),
        ("wss", wss.bind, wss.anonymous, Some(&wss.tls)),
        ("kafka", kafka.bind, kafka.anonymous, None),
        ("kafkas", kafkas.bind, kafkas.anonymous, Some(&kafkas.tls)),
    ];
    let closed = rows.into_iter().filter_map(|(listener, bind, anonymous, tls)| {
        let address = bind.filter(|address| !address.ip().is_loopback())?;
        let is_open = anonymous.lets_in(bind, &config.auth) || may_sign_in(tls, &config.auth);
        (!is_open).then_some(StartError::ClosedDoor(listener, address))
    });
    closed.collect()
}

/// Whether there is any way to show who one is.
fn may_sign_in(tls: Option<&TlsConfig>, auth: &AuthConfig) -> bool {
    let by_certificate = tls.is_some_and(|tls| match tls.client_auth {
        ClientAuth::Required => true,
        ClientAuth::Optional => tls.identity != TlsIdentity::None,
        ClientAuth::None => false,
    });
    by_certificate || auth.has_users()
}

#[cfg(test)]
mod tests {
    use super::{Anonymous, ClientAuth, Config, TlsIdentity, closed_doors};

    fn told(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        let told = closed_doors(&config);
        told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_listener_beyond_this_machine_needs_somebody_who_may_come() {
        let open = |text: &str| Some(text.parse().expect("an address"));
        assert_eq!(told(|_| ()), "");
        let closed = told(|config| config.listener.mqtt.bind = open("0.0.0.0:1883"));
        for words in ["listener.mqtt", "auth.password_file", "listener.mqtt.anonymous = \"allow\""]
        {
            assert!(closed.contains(words), "{closed}");
        }
        let refuse = told(|config| {
            config.listener.kafka.bind = open("[::]:9092");
            config.listener.kafka.anonymous = Anonymous::Refuse;
        });
        assert!(refuse.contains("listener.kafka.bind = [::]:9092"), "{refuse}");
        let secret = |client_auth, identity| {
            told(|config| {
                config.listener.mqtts.bind = open("192.0.2.1:8883");
                config.listener.mqtts.tls.client_auth = client_auth;
                config.listener.mqtts.tls.identity = identity;
            })
        };
        assert!(!secret(ClientAuth::None, TlsIdentity::None).is_empty());
        assert!(!secret(ClientAuth::Optional, TlsIdentity::None).is_empty());
        assert_eq!(secret(ClientAuth::Optional, TlsIdentity::Cn), "");
        assert_eq!(secret(ClientAuth::Required, TlsIdentity::None), "");
        let by = |change: fn(&mut Config)| {
            told(|config| {
                config.listener.mqtt.bind = open("0.0.0.0:1883");
                change(config);
            })
        };
        assert_eq!(by(|config| config.listener.mqtt.anonymous = Anonymous::Allow), "");
        assert_eq!(by(|config| config.auth.scram_file = Some("users".into())), "");
        assert_eq!(by(|config| config.listener.mqtt.bind = None), "");
    }
}
