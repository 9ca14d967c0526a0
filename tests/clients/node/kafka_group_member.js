// A member of a consumer group: arguments are host, port, group. Prints "ASSIGNED n" for the number
// of partitions that it got, and "AT partition offset value" for each record that it read and whose
// offset it committed; "TRIED partition offset value" when it does not know what became of that
// commit: the record may come again, or not. Leaves the group when it is told to stop (SIGTERM).

const { Kafka, logLevel } = require("kafkajs");

const [host, port, group] = process.argv.slice(2);
const kafka = new Kafka({ brokers: [`${host}:${port}`], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: group, sessionTimeout: 6000, heartbeatInterval: 500 });

async function main() {
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const own = payload.memberAssignment.mqtt || [];
    console.log("ASSIGNED", own.length);
  });
  await consumer.connect();
  await consumer.subscribe({ topic: "mqtt", fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      const next = (BigInt(message.offset) + 1n).toString();
      const place = [partition, message.offset, message.value.toString()];
      try {
        await consumer.commitOffsets([{ topic, partition, offset: next }]);
      } catch (error) {
        console.log("TRIED", ...place);
        throw error;
      }
      console.log("AT", ...place);
    },
  });
}

process.on("SIGTERM", () => consumer.disconnect().then(() => process.exit(0)));
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
