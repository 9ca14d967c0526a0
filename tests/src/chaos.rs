//! Clients that keep their side of every exchange through as many crashes of the broker as it
//! takes, and note what they were promised and what they got.

mod link;
mod publisher;
mod subscriber;

pub use link::Place;
pub use publisher::{Publisher, Sent};
pub use subscriber::{Received, Subscriber};
