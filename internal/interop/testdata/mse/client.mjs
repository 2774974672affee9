// A client that builds and reads its messages with jsonrpc-lite.
//
//	node client.mjs URL
//
// It carries out the steps that it reads from the standard input, one JSON object a line,
// and reports what the server sends, each with the number of the step. A step says
// something (see say) and names in await how many reports must have come before the next
// step begins; the end of the connection is one. The program ends when the input does.
import { createInterface } from 'node:readline'
import { jsonrpc, JsonRpcError } from 'jsonrpc-lite'
import WebSocket from 'ws'
import { read, report, versions } from './lite.mjs'

const limit = 15_000 // ms, for the whole conversation

let step = 0
let reports = 0 // that came, and those that were awaited
let awaited = 0
let leaving = false
let wake = () => {}

function came (entry) {
  report({ step, ...entry })
  reports++
  wake()
}

// say sends what a step asks for: a message of jsonrpc-lite, or, for what that refuses
// to build, any text.
function say (s) {
  switch (s.say) {
    case undefined: return
    case 'request': return ws.send(jsonrpc.request(s.id, s.method, s.params).serialize())
    case 'notification': return ws.send(jsonrpc.notification(s.method, s.params).serialize())
    case 'success': return ws.send(jsonrpc.success(s.id, s.result).serialize())
    case 'error': return ws.send(jsonrpc.error(s.id, new JsonRpcError(s.message, s.code)).serialize())
    case 'text': return ws.send(s.text)
    case 'binary': return ws.send(Buffer.from(s.text))
    default: throw new Error(`what is ${s.say}?`)
  }
}

report(versions)
setTimeout(() => {
  console.error(`step ${step}: ${awaited - reports} reports have not come`)
  process.exit(1)
}, limit).unref()

const ws = new WebSocket(process.argv[2])
ws.on('error', (err) => {
  console.error(err)
  process.exit(1)
})
ws.on('message', (data, isBinary) => {
  came(isBinary ? { kind: 'binary', text: data.toString('hex') } : read(data.toString()))
})
const closed = new Promise((resolve) => {
  ws.on('close', (code, reason) => {
    if (!leaving) came({ kind: 'closed', payload: { code, reason: reason.toString() } })
    resolve()
  })
})
await new Promise((resolve) => ws.on('open', resolve))
for await (const line of createInterface({ input: process.stdin })) {
  const s = JSON.parse(line)
  say(s)
  awaited += s.await ?? 0
  while (reports < awaited) await new Promise((resolve) => { wake = resolve })
  step++
}
leaving = true
ws.close(1000)
await closed
