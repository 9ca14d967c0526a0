// A member of a consumer group: arguments are host, port, group. Prints "ASSIGNED n" for the number
// of partitions that it got, "GOT partition offset value" for each record that it read, and the same
// with "AT" when its offset is committed; "TRIED partition offset value" when it does not know what became of that
// commit: the record may come again, or not. Leaves the group when it is told to stop (SIGTERM).
// MEMBER_SESSION_MS and MEMBER_PACE_MS: how long it may be silent, and how long it rests after up to
// 100 records.

const { Kafka, logLevel } = require("kafkajs");

const [host, port, group] = process.argv.slice(2);
const kafka = new Kafka({ brokers: [`${host}:${port}`], logLevel: logLevel.ERROR });
const sessionTimeout = Number(process.env.MEMBER_SESSION_MS || 6000);
const pace = Number(process.env.MEMBER_PACE_MS || 0);
const consumer = kafka.consumer({ groupId: group, sessionTimeout, heartbeatInterval: 500 });

function show(word, partition, messages) {
  const lines = messages.map((it) => `${word} ${partition} ${it.offset} ${it.value}`);
  console.log(lines.join("\n"));
}

async function main() {
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const own = payload.memberAssignment.mqtt || [];
    console.log("ASSIGNED", own.length);
  });
  await consumer.connect();
  await consumer.subscribe({ topic: "mqtt", fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale, ...more }) => {
      for (let at = 0; at < batch.messages.length; at += 100) {
        if (!isRunning() || isStale()) return;
        const messages = batch.messages.slice(at, at + 100);
        show("GOT", batch.partition, messages);
        const last = messages[messages.length - 1].offset;
        const offset = (BigInt(last) + 1n).toString();
        const partitions = [{ partition: batch.partition, offset }];
        try {
          // Unlike commitOffsets of the consumer, this one says when it is refused.
          await more.commitOffsetsIfNecessary({ topics: [{ topic: batch.topic, partitions }] });
        } catch (error) {
          show("TRIED", batch.partition, messages);
          throw error;
        }
        show("AT", batch.partition, messages);
        resolveOffset(last);
        await heartbeat();
        if (pace > 0) await new Promise((rested) => setTimeout(rested, pace));
      }
    },
  });
}

process.on("SIGTERM", () => consumer.disconnect().then(() => process.exit(0)));
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
