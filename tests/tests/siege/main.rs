//! The running broker under every kind of attack that brought another one down: is it refused or
//! bounded, are others served meanwhile, and is there a ceiling to what the broker holds?
//!
//! Small numbers are part of the tests; `cargo xtask siege` runs those that are promised, with the
//! program as it is released, and judges how long others wait. docs/threats.md lists which test
//! is about which danger.

mod connections;
mod floods;
mod guesses;
mod identity;
mod kafka;
mod packets;
mod remotes;

/// All share one loop: nobody is served by a core that the attack leaves alone.
const ONE_CORE: &str = "[threads]\ncores = 1\n";
