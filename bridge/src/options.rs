//! What a Kafka port is to be. Data only.

use std::sync::Arc;

use crate::forecasts::Forecasts;
use crate::gate::Gate;
use crate::groups::Limits;
use crate::limits::PortLimits;
use crate::numbers::PortNumbers;
use crate::permit::Access;
use crate::retained::RetainedLimit;

/// What a Kafka port is to be.
pub struct PortOptions {
    /// What clients may make us hold.
    pub limits: PortLimits,
    /// The same of consumer groups.
    pub groups: Limits,
    /// The same of transactions.
    pub transactions: crate::transactions::Limits,
    /// Where it is counted.
    pub numbers: PortNumbers,
    /// Who knows the users.
    pub gate: Arc<dyn Gate>,
    /// Who has the rules.
    pub access: Arc<dyn Access>,
    /// Who counts retained messages.
    pub retained: Arc<dyn RetainedLimit>,
    /// What retention says that groups will lose.
    pub forecasts: Arc<Forecasts>,
}
