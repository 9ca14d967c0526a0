// Reads what MQTT clients published, as a Kafka consumer group: how warm was it, topic by topic?
//
//     node analytics_consumer.js [HOST:PORT] [COUNT] [GROUP]
//
// reads COUNT readings (default: until ctrl-C) of the stream "mqtt", and prints a line for each
// topic. What the group has read it does not get again. Start it twice, and each gets its own
// partitions. Needs kafkajs (npm install kafkajs).

const { Kafka, logLevel } = require("kafkajs");

const [broker = "127.0.0.1:9092", count = "0", group = "analytics"] = process.argv.slice(2);
const wanted = Number(count) || Infinity;
const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: group });
const readings = new Map();
let taken = 0;

// The temperature in it; undefined if it is about something else.
function reading(payload) {
  try {
    return JSON.parse(payload).celsius;
  } catch {
    return undefined;
  }
}

async function main() {
  const enough = new Promise((resolve) => process.once("SIGINT", resolve).once("enough", resolve));
  await consumer.connect();
  await consumer.subscribe({ topic: "mqtt", fromBeginning: true });
  await consumer.run({
    // What counts as read is what we have counted, not what has come.
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      if (taken >= wanted) return;
      const celsius = reading(message.value);
      if (celsius !== undefined) {
        const key = message.key.toString();
        readings.set(key, [...(readings.get(key) ?? []), celsius]);
        taken += 1;
      }
      const offset = (BigInt(message.offset) + 1n).toString();
      await consumer.commitOffsets([{ topic, partition, offset }]);
      if (taken >= wanted) process.emit("enough");
    },
  });
  await enough;
  await consumer.disconnect();
  for (const [topic, values] of [...readings].sort()) {
    const mean = values.reduce((sum, value) => sum + value) / values.length;
    const [average, most] = [mean.toFixed(2), Math.max(...values).toFixed(1)];
    console.log(`${topic}: ${values.length} readings, ${average} on average, ${most} at most`);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
