//! Claims about the whole store, on a simulated and on a real disk.

mod ahead;
mod backup;
mod bounds;
mod compact;
mod crash;
mod damage;
mod deletion;
mod growth;
mod harness;
mod log;
mod panics;
mod real;
mod retention;
mod seal;
mod sectors;
mod sieves;
mod simulated;
mod time;
mod topics;
