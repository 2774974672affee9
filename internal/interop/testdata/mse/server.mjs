// A server of MSE JSON-RPC that builds and reads its messages with jsonrpc-lite, made from
// the protocol document alone.
//
//	node server.mjs
//
// It listens on a port of 127.0.0.1 that it chooses, and reports the port and everything
// that its clients send, each with the query of the client's address, until the standard
// input ends. The query says in what a connection differs from the document:
//
//	ids=float             1 comes back as 1.0
//	notifications=absent  they have no id, as jsonrpc-lite makes them, instead of null
//	invalid=CODE          of the error about what is no message, instead of -1001
//	null=refused          a null id makes a request invalid, as jsonrpc-lite has it
//
// The token says what becomes of a client: "refused" is, "guest" may not start, and
// "forgotten" is when it starts; every other one may do everything.
//
// There are two methods that the document does not have: say sends params.text, or what
// jsonrpc-lite builds of params.request, and fail answers with params as the error.
import { jsonrpc, JsonRpcError } from 'jsonrpc-lite'
import { WebSocketServer } from 'ws'
import { read, report, versions } from './lite.mjs'

const life = 20 * 60_000 // ms, for all tests of one server, which wait for their turn

class Failure {
  constructor (code, message, data) {
    this.error = new JsonRpcError(message, code, data)
  }
}

const notFound = () => new Failure(-32601, 'Method not found')
const invalidParams = (data) => new Failure(-32602, 'Invalid params', data)
const failed = () => new Failure(-4001, 'Authorization Failed')
const unauthorized = () => new Failure(-5001, 'Unauthorized Access')
const order = (required) => new Failure(-6001, 'Invalid Call Order', { required })

class Session {
  state = 'new'
  token = undefined

  constructor (ws, query) {
    this.ws = ws
    this.query = query
  }

  receive (text) {
    const message = read(text)
    report({ query: this.query.toString(), ...message })
    const { kind, payload, nullID } = message
    if (kind === 'invalid' || kind === 'batch' || (nullID && this.query.get('null') === 'refused')) {
      const code = Number(this.query.get('invalid') ?? -1001)
      this.send(jsonrpc.error(null, new JsonRpcError('Invalid json rpc 2.0 object', code)))
      return
    }
    if (kind !== 'request' && kind !== 'notification') return // the server asks nothing
    const method = Object.hasOwn(methods, payload.method) ? methods[payload.method] : notFound
    let result
    try {
      result = method.call(this, payload.params ?? {})
    } catch (err) {
      if (!(err instanceof Failure)) throw err
      result = err
    }
    if (kind === 'notification') return
    if (result instanceof Failure) {
      this.send(jsonrpc.error(payload.id, result.error))
    } else if (result !== undefined) {
      this.send(jsonrpc.success(payload.id, result))
    }
    if (result === 'started') this.notify('sdpOffer', { offer: 'v=0 of the server' })
  }

  send (message) {
    let text = message.serialize()
    if (this.query.get('ids') === 'float') text = text.replace(/"id":(\d+)/, '"id":$1.0')
    this.ws.send(text)
  }

  notify (method, params) {
    const message = jsonrpc.notification(method, params)
    if (this.query.get('notifications') !== 'absent') message.id = null
    this.send(message)
  }

  active () {
    if (this.state === 'new') throw order('auth')
    if (this.state !== 'active') throw order('start')
  }
}

// methods are called with the session as this. Their result is the answer to a request.
const methods = {
  ping: () => 'pong',

  auth ({ token, version }) {
    if (this.state === 'active') return order('disconnect')
    if (typeof token !== 'string' || token === '') return invalidParams()
    if (version !== '1.0') return invalidParams({ supported: ['1.0'] })
    if (token === 'refused') return failed()
    this.state = 'authorized'
    this.token = token
    return 'authenticated'
  },

  start () {
    if (this.state === 'new') return order('auth')
    if (this.state === 'active') return order('disconnect')
    if (this.token === 'guest') return unauthorized()
    if (this.token === 'forgotten') {
      this.state = 'new'
      return order('auth')
    }
    this.state = 'active'
    return 'started'
  },

  whoami () {
    if (this.state === 'new') return order('auth')
    return {
      domain: 'example.org',
      agent: 'web',
      role: 'user',
      userId: 'u1',
      roomId: 'r1',
      ipAddress: '127.0.0.1',
      tokenIssued: 1735689600, // as a JSON Web Token has it
      validFrom: '2025-01-01T00:00:00Z',
      validTo: new Date(Date.UTC(2100, 0, 1)).toString()
    }
  },

  // Descriptions are answered, candidates come back.
  sdpOffer ({ offer }) {
    this.active()
    if (typeof offer === 'string') {
      this.notify('sdpOffer', { offer: 'answer to ' + offer })
    } else {
      this.notify('sdpOffer', { offer: { type: 'answer', sdp: 'answer to ' + offer.sdp } })
    }
  },

  iceCandidate (params) {
    this.active()
    this.notify('iceCandidate', params)
  },

  disconnect () { this.ws.close(1000) },

  say ({ text, request }) {
    this.ws.send(text ?? jsonrpc.request(request.id, request.method, request.params).serialize())
  },

  fail: ({ code, message, data }) => new Failure(code, message, data)
}

report(versions)
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 256 * 1024 })
server.on('listening', () => report({ kind: 'listening', payload: server.address().port }))
server.on('connection', (ws, request) => {
  const session = new Session(ws, new URL(request.url, 'ws://127.0.0.1').searchParams)
  ws.on('message', (data, isBinary) => {
    if (isBinary) {
      ws.close(1003)
    } else {
      session.receive(data.toString())
    }
  })
  ws.on('close', (code, reason) => {
    report({ query: session.query.toString(), kind: 'closed', payload: { code, reason: reason.toString() } })
  })
  ws.on('error', (err) => console.error(err))
})
setTimeout(() => process.exit(1), life).unref()
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
