//! A moment, as it comes from outside. Reads no clock.

/// What the clocks said when something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds that only ever rise: what waits is measured with them.
    pub steady_ms: u64,
    /// Milliseconds of the Unix epoch: what is stored carries them.
    pub wall_ms: i64,
}
