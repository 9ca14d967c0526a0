// MQTT.js round trip: arguments are host, port, protocol version (4 or 5), if not mqtt the protocol
// (ws, mqtts, wss), and with TLS the file of the authority to trust, and those of the client's
// certificate and key if it shows one.
'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const mqtt = require('mqtt')

const [host, port, version, protocol = 'mqtt', ...files] = process.argv.slice(2)
const protocolVersion = Number(version)
const path = '/mqtt'
const [ca, cert, key] = files.map((file) => fs.readFileSync(file))
const client = mqtt.connect(
  { protocol, host, port: Number(port), path, protocolVersion, reconnectPeriod: 0, ca, cert, key })
const userProperties = { k: ['1', '2'] }
const properties = protocolVersion === 5 ? { userProperties } : undefined

const failed = (error) => {
  console.error(error)
  process.exit(1)
}
const tooLate = setTimeout(() => failed(new Error('no answer in time')), 120000)
process.on('uncaughtException', failed)
client.on('error', failed)

client.on('connect', async () => {
  await client.subscribeAsync('js/#', { qos: 2 })
  for (const qos of [0, 1, 2]) {
    const message = new Promise((resolve) => {
      client.once('message', (topic, payload, packet) => resolve({ topic, payload, packet }))
    })
    await client.publishAsync('js/a', `hello ${qos}`, { qos, properties })
    const { topic, payload, packet } = await message
    assert.strictEqual(topic, 'js/a')
    assert.strictEqual(payload.toString(), `hello ${qos}`)
    assert.strictEqual(packet.qos, qos)
    if (properties) {
      assert.deepStrictEqual({ ...packet.properties.userProperties }, userProperties)
    }
  }
  await client.endAsync()
  clearTimeout(tooLate)
})
