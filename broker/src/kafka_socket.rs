//! A socket of TLS as the Kafka port wants it. Knows neither protocol.

use std::io;

use tidewire_bridge::{Greeted, Ready, SecretSocket};
use tokio::io::Interest;

use crate::tls::{Shaken, TlsStream};

/// A client whose handshake is done, for the Kafka port.
pub(crate) fn greeted(shaken: Shaken) -> Greeted {
    let Shaken { stream, identity } = shaken;
    let bind = move || {
        let stream = stream.bind()?;
        Ok(Box::new(Secret(stream)) as Box<dyn SecretSocket>)
    };
    Greeted { bind: Box::new(bind), certificate: identity }
}

struct Secret(TlsStream);

impl SecretSocket for Secret {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn has_pending(&self) -> bool {
        self.0.has_pending()
    }

    fn try_flush(&self) -> io::Result<()> {
        self.0.try_flush()
    }

    fn say_goodbye(&self) {
        // A client that is gone is not told.
        let _ = self.0.end_writing();
    }

    fn ready(&self, interest: Interest) -> Ready<'_> {
        Box::pin(async move { self.0.ready(interest).await.map(drop) })
    }
}
