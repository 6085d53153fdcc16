// Prints each paid order, and goes on where it stopped.

import kafkajs from "kafkajs";

const { Kafka, logLevel } = kafkajs;
const TOPIC = "payment-completed";

const kafka = new Kafka({
  clientId: "paid-orders-node",
  brokers: (process.env.KAFKA ?? "localhost:8013").split(","),
  logLevel: logLevel.ERROR,
});
const consumer = kafka.consumer({ groupId: process.env.GROUP ?? "paid-orders-node" });

for (const name of ["SIGINT", "SIGTERM"]) {
  process.once(name, async () => {
    await consumer.disconnect();
    process.exit(0);
  });
}

await consumer.connect();
// From the beginning the first time; later the group's place counts.
await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ topic, partition, message }) => {
    try {
      printPaid(JSON.parse(message.value.toString()));
    } catch (error) {
      // No event: whoever may write put it there.
      console.error(`Passed over ${topic}/${partition}/${message.offset}: ${error.message}`);
    }
    const next = (BigInt(message.offset) + 1n).toString();
    await consumer.commitOffsets([{ topic, partition, offset: next }]);
  },
});

// Amounts are whole minor units of the currency: 26500 INR is 265.00 rupees.
function printPaid({ orderId, eventId, data }) {
  console.log(`${orderId} ${data.amount} ${data.currency} ${eventId}`);
}
