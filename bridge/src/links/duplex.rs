//! Bytes there and back, whatever carries them.

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}
