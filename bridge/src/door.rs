//! Where clients come in: what holds for a listener. Data only.

/// What holds for who comes in at one listener.
#[derive(Clone, Debug)]
pub struct Door {
    /// The section of the listener: `kafka`, `kafkas`.
    pub listener: &'static str,
    /// Where clients are told to connect to; without, where each came in.
    pub advertised: Option<(String, u16)>,
    /// Clients may come that do not show who they are.
    pub takes_anonymous: bool,
}
