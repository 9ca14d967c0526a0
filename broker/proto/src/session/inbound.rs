//! What a client publishes: may it, under which topic, is it new.

use crate::mqtt::{Publish, ReasonCode};
use crate::qos::Qos;
use crate::session::alias::{AliasError, Aliases};
use crate::session::receipts::{Arrival, Receipts};

/// What to do with a PUBLISH.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// New: store it under this topic.
    Store {
        /// The topic, alias resolved.
        topic: &'a str,
    },
    /// A QoS 2 repeat of what is stored: PUBREC again.
    ConfirmAgain,
    /// A QoS 2 repeat of what is being stored: its PUBREC will come.
    Wait,
}

/// The receiving half of a session.
#[derive(Debug)]
pub struct Inbound {
    /// Ends with the connection.
    pub aliases: Aliases,
    /// QoS 2 exchanges outlive it.
    pub receipts: Receipts,
}

impl Inbound {
    /// Judges a PUBLISH.
    ///
    /// # Errors
    /// With the reason for which the connection must be closed.
    pub fn on_publish<'a>(&'a mut self, publish: &Publish<'a>) -> Result<Verdict<'a>, ReasonCode> {
        if publish.properties.subscription_ids().next().is_some() {
            return Err(ReasonCode::PROTOCOL_ERROR);
        }
        let topic = match publish.properties.topic_alias() {
            None => publish.topic,
            Some(alias) => {
                self.aliases.resolve(alias, publish.topic).map_err(|error| match error {
                    AliasError::OutOfRange => ReasonCode::TOPIC_ALIAS_INVALID,
                    AliasError::Unknown => ReasonCode::PROTOCOL_ERROR,
                })?
            }
        };
        match (publish.qos, publish.packet_id) {
            (Qos::AtMostOnce, _) => Ok(Verdict::Store { topic }),
            (Qos::AtLeastOnce, _) => match self.receipts.on_qos1() {
                true => Ok(Verdict::Store { topic }),
                false => Err(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED),
            },
            (Qos::ExactlyOnce, Some(id)) => match self.receipts.on_qos2(id) {
                Arrival::Store => Ok(Verdict::Store { topic }),
                Arrival::Repeat => Ok(Verdict::ConfirmAgain),
                Arrival::Wait => Ok(Verdict::Wait),
                Arrival::OverReceiveMaximum => Err(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED),
            },
            (Qos::ExactlyOnce, None) => Err(ReasonCode::PROTOCOL_ERROR),
        }
    }
}
