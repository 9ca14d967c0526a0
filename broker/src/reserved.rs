//! Ports that are taken before anything else is done: as long as we may, where only root may take
//! them. Nobody can connect to one yet.

use std::net::SocketAddr;

use socket2::Socket;

use crate::banner::Protocol;
use crate::config::ListenerConfig;
use crate::error::StartError;
use crate::listener;
use crate::unix_socket::UnixSocket;

/// What was taken, until it is claimed.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    sockets: Vec<(Protocol, Socket)>,
    unix: Option<UnixSocket>,
}

impl Reserved {
    /// Takes all that the configuration names.
    pub(crate) fn take_all(config: &ListenerConfig) -> Result<Self, StartError> {
        let wanted = [
            (Protocol::Mqtt, config.mqtt.bind),
            (Protocol::Mqtts, config.mqtts.bind),
            (Protocol::WebSocket, config.websocket.bind),
            (Protocol::Wss, config.wss.bind),
            (Protocol::Kafka, config.kafka.bind),
            (Protocol::Kafkas, config.kafkas.bind),
            (Protocol::of_http(config.http.is_secret()), config.http.bind),
        ];
        let wanted = wanted.into_iter().filter_map(|(protocol, bind)| Some((protocol, bind?)));
        let take = |(protocol, address)| Ok((protocol, take(protocol, address)?));
        let sockets = wanted.map(take).collect::<Result<_, StartError>>()?;
        Ok(Self { sockets, unix: take_file(config)? })
    }

    /// Gives the socket file, if there is one, to whom the broker is to be.
    pub(crate) fn give_file(
        &self,
        whom: (u32, u32),
        config: &ListenerConfig,
    ) -> Result<(), StartError> {
        let (Some(socket), Some(path)) = (&self.unix, &config.unix.path) else { return Ok(()) };
        let given = socket.give(whom, &config.unix);
        given.map_err(|error| StartError::SocketFile(path.clone(), error))
    }

    /// The socket of this listener: the one that was taken, or one that is taken now.
    pub(crate) fn claim(
        &mut self,
        protocol: Protocol,
        address: SocketAddr,
    ) -> Result<Socket, StartError> {
        match self.sockets.iter().position(|(known, _)| *known == protocol) {
            Some(at) => Ok(self.sockets.swap_remove(at).1),
            None => take(protocol, address),
        }
    }

    /// The same of the socket file; `None`: there is to be none.
    pub(crate) fn claim_file(
        &mut self,
        config: &ListenerConfig,
    ) -> Result<Option<UnixSocket>, StartError> {
        match self.unix.take() {
            Some(socket) => Ok(Some(socket)),
            None => take_file(config),
        }
    }
}

fn take(protocol: Protocol, address: SocketAddr) -> Result<Socket, StartError> {
    let failed = |error| StartError::Bind(address, protocol.title(), protocol.setting(), error);
    listener::reserve(address).map_err(failed)
}

fn take_file(config: &ListenerConfig) -> Result<Option<UnixSocket>, StartError> {
    let Some(path) = &config.unix.path else { return Ok(None) };
    let socket = UnixSocket::bind(path, &config.unix);
    socket.map(Some).map_err(|error| StartError::SocketFile(path.clone(), error))
}
