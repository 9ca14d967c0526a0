//! Messages published to `$delayed/<seconds>/<topic>`: kept durably until their time.

use tidewire_proto::delayed::parse;
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{Publish, ReasonCode};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::BatchBuilder;
use tidewire_store::Table;
use tidewire_store::rows::delayed::{DelayedKey, DelayedRow};

use crate::core::open::{ConnId, Phase};
use crate::core::state::Core;
use crate::core::turn::Waiting;
use crate::core::waiting_room::{DelayedTaken, keeper_of};
use crate::metrics::DropReason;

impl Core {
    /// A PUBLISH whose topic begins with `$delayed/`.
    pub(crate) fn on_delayed(&mut self, id: ConnId, publish: &Publish<'_>, topic: &str) {
        if let Err(reason) = self.keep_delayed(id, publish, topic) {
            let counted = match reason {
                ReasonCode::QUOTA_EXCEEDED => DropReason::DelayedLimit,
                ReasonCode::NOT_AUTHORIZED => DropReason::NotAuthorized,
                _ => DropReason::Invalid,
            };
            return self.refuse_publish(id, publish, (reason, counted));
        }
        self.await_publish(id, publish);
        self.end_turn_soon();
    }

    fn keep_delayed(
        &mut self,
        id: ConnId,
        publish: &Publish<'_>,
        topic: &str,
    ) -> Result<(), ReasonCode> {
        let invalid = ReasonCode::TOPIC_NAME_INVALID;
        let (seconds, topic) = parse(topic).ok_or(invalid)?;
        if seconds > self.shared.limits.delay_s_max {
            return Err(invalid);
        }
        if topic.len() > usize::from(self.shared.limits.topic_bytes_max) {
            return Err(invalid);
        }
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return Ok(()) };
        let peer = conn.peer;
        let Phase::Open(open) = &mut conn.phase else { return Ok(()) };
        // What it will be published to is what counts.
        let named = self.rewriter.topic(topic);
        if open.granted.as_mut().is_some_and(|rights| !rights.may_publish(named, publish.retain)) {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let client_id = &*open.client_id;
        // Where it will lie is asked again when it does: only whether it may is known now.
        self.placement.place(topic, client_id, publish.properties).ok_or(invalid)?;
        let origin = open.subscriptions.has_no_local().then_some(client_id);
        let mut batch = BatchBuilder::new();
        Published::new(publish, topic, origin).push_to(&mut batch, self.now_ms);
        let row = DelayedRow { client_id: client_id.into(), message: batch.finish() }.encode();
        let bytes = row.len() as u64;
        let key = DelayedKey {
            due_ms: self.shared.clock.in_s(seconds),
            started_ms: self.shared.started_ms,
            serial: self.shared.next_serial(),
        };
        let payer = open.payer(&self.shared.payers, peer);
        if !self.shared.delayed.take(key, bytes, payer, &self.shared.limits) {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        self.turn.put_with_messages(Table::Wills, key.encode(), Some(row));
        let core = keeper_of(client_id, self.shared.inboxes.len());
        let is_unasked = publish.qos == Qos::AtMostOnce;
        let taken = DelayedTaken { key, bytes, core, is_unasked };
        self.turn.waiting.push(Waiting::DelayedTaken(Box::new(taken)));
        Ok(())
    }
}
