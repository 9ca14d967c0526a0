//! Properties of MQTT 5: the table, the validated view, the builder. Never knows a packet's fields.

mod builder;
pub(crate) mod id;
mod view;

pub use builder::PropertiesBuilder;
pub use id::{PropertyId, PropertyPlace};
pub use view::{Properties, PropertyValue};
