// As zigbee2mqtt starts: publishes all it knows as kept messages, subscribes to its own base
// topic, and starts over if its own messages are not echoed in time. Arguments are host, port,
// how many devices there are and how many bytes its largest message has.
'use strict'

const assert = require('node:assert')
const mqtt = require('mqtt')

const ECHO_MS = 2000
const [host, port, devices, largest] = process.argv.slice(2)
const will = { topic: 'zigbee2mqtt/bridge/state', payload: 'offline', qos: 1, retain: true }
const client = mqtt.connect({
  host, port: Number(port), protocolVersion: 5, reconnectPeriod: 0, will,
  properties: { maximumPacketSize: 4 * 1024 * 1024 },
})

const failed = (error) => {
  console.error(error)
  process.exit(1)
}
const tooLate = setTimeout(() => failed(new Error('not all in time')), 120000)
process.on('uncaughtException', failed)
client.on('error', failed)

client.on('connect', async () => {
  const kept = { retain: true, qos: 0 }
  const expected = new Map([['zigbee2mqtt/bridge/info', 'info']])
  for (let number = 0; number < Number(devices); number++) {
    expected.set(`zigbee2mqtt/device-${number}`, `{"state":${number}}`)
  }
  expected.set('zigbee2mqtt/bridge/devices', 'x'.repeat(Number(largest)))
  for (const [topic, payload] of expected) {
    client.publish(topic, payload, kept)
  }
  let since = Date.now()
  client.on('message', async (topic, payload) => {
    assert.strictEqual(payload.toString(), expected.get(topic), topic)
    if (topic === 'zigbee2mqtt/bridge/info') {
      assert.ok(Date.now() - since < ECHO_MS, `echo after ${Date.now() - since} ms`)
    }
    expected.delete(topic)
    if (expected.size === 0) {
      clearTimeout(tooLate)
      await client.endAsync()
    }
  })
  await client.subscribeAsync('zigbee2mqtt/#', { qos: 0 })
  since = Date.now()
})
