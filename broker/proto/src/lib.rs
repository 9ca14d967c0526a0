//! Pure protocol code: bytes or events and `now` in, effects out. Never a socket, file or clock.
