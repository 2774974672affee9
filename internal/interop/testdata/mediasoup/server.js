// A real mediasoup 2 server, driven by a test.
//
//	node server.js --ip 192.0.2.2 --envelope protoo --codecs opus,VP8,H264
//
// The application around mediasoup is that of its demo: a room is named by roomId in the query
// of a connection, and a peer by peerName. The names of the codecs are keys of codecs below;
// a codecs in the query of the connection that makes a room has precedence, and forceH264=true
// leaves no other video. Media is bound to --ip. Envelopes:
//
//	protoo     of protoo-server 4, which is that of 3
//	protoo2    of protoo-server 2, whose notifications are requests
//	socket.io  events mediasoup-request, answered with (error, response), and
//	           mediasoup-notification
//
// Standard output has one line, a JSON object with the port and the versions. Everything is
// on 127.0.0.1: connections at /, and at /api what a test calls, POST of {"do": name of one of
// the functions in commands, ...} that is answered with {"value"} or {"error"}. The server
// lives until its standard input ends, and a few minutes at most.
'use strict'
const http = require('node:http')
const { parseArgs } = require('node:util')
const mediasoup = require('mediasoup')

const life = 300_000 // ms

const { values: args } = parseArgs({
  options: {
    ip: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    envelope: { type: 'string', default: 'protoo' },
    codecs: { type: 'string', default: 'opus,VP8,H264' }
  }
})

const codecs = {
  opus: { kind: 'audio', name: 'opus', clockRate: 48000, channels: 2, parameters: { useinbandfec: 1 } },
  PCMA: { kind: 'audio', name: 'PCMA', clockRate: 8000 },
  VP8: { kind: 'video', name: 'VP8', clockRate: 90000, parameters: { 'x-google-start-bitrate': 1500 } },
  VP9: { kind: 'video', name: 'VP9', clockRate: 90000 },
  H264: {
    kind: 'video',
    name: 'H264',
    clockRate: 90000,
    parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 }
  }
}

const server = mediasoup.Server({ numWorkers: 1, rtcIPv4: args.ip, rtcIPv6: false, logLevel: 'warn' })
const rooms = new Map() // by name

const web = http.createServer(answer)

// A Room is a room of the application with that of mediasoup in it.
class Room {
  constructor (name, query) {
    this.name = name
    this.journal = [] // what has passed, in order
    this.lines = new Map() // connections by the name of their peer
    const names = (query.get('codecs') ?? args.codecs).split(',')
      .filter((codec) => query.get('forceH264') !== 'true' || codecs[codec].kind === 'audio' || codec === 'H264')
    this.media = server.Room(names.map((codec) => {
      if (!Object.hasOwn(codecs, codec)) throw new Error('unknown codec ' + codec)
      return codecs[codec]
    }))
    this.media.on('close', () => setImmediate(() => this.close())) // once it has told its peers
    this.media.createActiveSpeakerDetector().on('activespeakerchange', (peer) => {
      for (const line of this.lines.values()) line.notify('active-speaker', { peerName: peer ? peer.name : null })
    })
    rooms.set(name, this)
  }

  note (dir, peer, kind, body) { this.journal.push({ dir, peer, kind, body }) }

  close () {
    if (rooms.get(this.name) === this) rooms.delete(this.name)
    this.media.close()
    for (const line of this.lines.values()) line.close()
  }

  // connect takes a connection of a peer, in place of one that it may have.
  connect (name, line) {
    const old = this.lines.get(name)
    this.lines.set(name, line)
    old?.close()
  }

  // gone is told that a connection has ended.
  gone (name, line) {
    if (this.lines.get(name) === line) this.lines.delete(name)
    line.peer?.close()
    if (this.lines.size === 0) this.close()
  }

  // request answers a request of a connection.
  async request (name, line, method, data, accept, reject) {
    try {
      switch (method) {
        case 'mediasoup-request':
          this.note('c2s', name, 'request', data)
          await this.mediasoup(name, line, data, (response) => {
            this.note('s2c', name, 'response', response ?? {})
            accept(response)
          }, (code, reason) => {
            this.note('s2c', name, 'error', { code, reason })
            reject(code, reason)
          })
          break
        case 'mediasoup-notification': // of those who have nothing else
          accept()
          this.notification(name, line, data)
          break
        case 'change-display-name': {
          const { displayName } = data
          const oldDisplayName = line.peer.appData.displayName
          line.peer.appData.displayName = displayName
          for (const other of this.lines.values()) {
            if (other !== line) other.notify('display-name-changed', { peerName: name, displayName, oldDisplayName })
          }
          accept()
          break
        }
        case 'change-consumer-preferred-profile':
          line.peer.consumers.find((c) => c.id === data.consumerId).setPreferredProfile(data.profile)
          accept()
          break
        case 'request-consumer-keyframe':
          line.peer.consumers.find((c) => c.id === data.consumerId).requestKeyFrame()
          accept()
          break
        default:
          reject(400, `unknown request.method "${method}"`)
      }
    } catch (err) {
      reject(500, String(err))
    }
  }

  async mediasoup (name, line, request, accept, reject) {
    if (request.method === 'queryRoom') {
      accept(await this.media.receiveRequest(request))
    } else if (request.method === 'join') {
      if (request.peerName !== name) {
        reject(403, 'that is not your corresponding mediasoup Peer name')
      } else if (line.peer && !line.peer.closed) {
        reject(500, 'already have a mediasoup Peer')
      } else {
        const response = await this.refusing(reject, this.media.receiveRequest(request))
        if (!response) return
        line.peer = this.media.getPeerByName(request.peerName)
        line.peer.on('notify', (notification) => {
          this.note('s2c', name, 'notification', notification)
          line.notify('mediasoup-notification', notification)
        })
        accept(response.value)
      }
    } else if (!line.peer) {
      reject(400, 'no mediasoup Peer')
    } else {
      const response = await this.refusing(reject, line.peer.receiveRequest(request))
      if (response) accept(response.value)
    }
  }

  async refusing (reject, promise) {
    try {
      return { value: await promise }
    } catch (err) {
      reject(500, String(err))
      return undefined
    }
  }

  // notification takes one of a connection.
  notification (name, line, notification) {
    this.note('c2s', name, 'notification', notification)
    line.peer?.receiveNotification(notification)
      .catch((err) => this.note('s2c', name, 'rejected', String(err)))
  }
}

// enter returns the room that the query of a connection names, and the name of the peer, or
// throws when there is none.
function enter (query) {
  const [roomId, peerName] = [query.get('roomId'), query.get('peerName')]
  if (!roomId || !peerName) throw new Error('Connection request without roomId and/or peerName')
  return { room: rooms.get(roomId) ?? new Room(roomId, query), name: peerName }
}

const queryOf = (url) => new URL(url, 'http://127.0.0.1').searchParams

// serveProtoo serves connections with a version of protoo-server.
function serveProtoo (name, notify) {
  const protoo = require(name)
  const listener = new protoo.WebSocketServer(web, { maxReceivedFrameSize: 960000, maxReceivedMessageSize: 960000 })
  listener.on('connectionrequest', (info, accept, reject) => {
    let entered
    try {
      entered = enter(queryOf(info.request.url))
    } catch (err) {
      reject(400, err.message)
      return
    }
    const { room, name } = entered
    const peer = new protoo.Room().createPeer(name, accept()) // nothing else makes peers
    const line = {
      notify: (method, data) => { notify(peer, method, data).catch(() => {}) },
      close: () => peer.close(),
      cut: () => info.socket.destroy()
    }
    room.connect(name, line)
    peer.on('request', ({ method, data }, accept, reject) => room.request(name, line, method, data, accept, reject))
    peer.on('notification', ({ method, data }) => {
      if (method === 'mediasoup-notification') room.notification(name, line, data)
    })
    peer.on('close', () => room.gone(name, line))
  })
  return name
}

// envelopes start to serve connections, and return the name of the package that does it.
const envelopes = {
  protoo: () => serveProtoo('protoo-server', (peer, method, data) => peer.notify(method, data)),
  protoo2: () => serveProtoo('protoo-server-2', (peer, method, data) => peer.send(method, data)),

  'socket.io' () {
    const { Server } = require('socket.io')
    const io = new Server(web, { serveClient: false, cors: { origin: '*' }, maxHttpBufferSize: 960000 })
    io.use((socket, next) => {
      try {
        socket.data = enter(queryOf(socket.request.url))
        next()
      } catch (err) {
        next(err)
      }
    })
    io.on('connection', (socket) => {
      const { room, name } = socket.data
      const line = {
        notify: (method, data) => socket.emit(method, data),
        close: () => socket.disconnect(true),
        cut: () => socket.conn.transport.socket?._socket.destroy()
      }
      room.connect(name, line)
      for (const method of ['mediasoup-request', 'change-display-name', 'change-consumer-preferred-profile',
        'request-consumer-keyframe']) {
        socket.on(method, (data, callback) => room.request(name, line, method, data,
          (response) => callback(null, response ?? {}), (code, reason) => callback(reason)))
      }
      socket.on('mediasoup-notification', (data) => room.notification(name, line, data))
      socket.on('disconnect', () => room.gone(name, line))
    })
    return 'socket.io'
  }
}

// roomOf, peerOf and partOf return what a command is about, or throw.
function roomOf ({ room }) {
  return rooms.get(room) ?? fail('no room ' + room)
}

function peerOf (command) {
  return roomOf(command).media.getPeerByName(command.peer) ?? fail('no peer ' + command.peer)
}

function partOf (command, kind) {
  const parts = peerOf(command)[kind + 's']
  return parts.find(({ id }) => id === command.id) ?? fail(`no ${kind} ${command.id}`)
}

function lineOf (command) {
  return roomOf(command).lines.get(command.peer) ?? fail('no connection of ' + command.peer)
}

function fail (text) { throw new Error(text) }

// commands are what a test can call. All take {"room"}, most {"peer"} as well, and {"id"} for a
// transport, producer or consumer of that peer.
const commands = {
  rooms: () => [...rooms.keys()],

  // state tells what the server knows of a room.
  state: (command) => ({
    rtpCapabilities: roomOf(command).media.rtpCapabilities,
    peers: roomOf(command).media.peers.map((peer) => ({
      name: peer.name,
      appData: peer.appData,
      spy: Boolean(peer.spy),
      transports: peer.transports.map((t) => ({
        id: t.id,
        direction: t.direction,
        appData: t.appData,
        iceState: t.iceState,
        iceSelectedTuple: t.iceSelectedTuple,
        dtlsState: t.dtlsState
      })),
      producers: peer.producers.map((p) => ({
        id: p.id,
        kind: p.kind,
        appData: p.appData,
        transport: p.transport?.id,
        locallyPaused: p.locallyPaused,
        remotelyPaused: p.remotelyPaused,
        rtpParameters: p.rtpParameters
      })),
      consumers: peer.consumers.map((c) => ({
        id: c.id,
        kind: c.kind,
        appData: c.appData,
        of: c.peer.name,
        producer: c.source.id,
        transport: c.transport?.id,
        enabled: c.enabled,
        locallyPaused: c.locallyPaused,
        remotelyPaused: c.remotelyPaused,
        sourcePaused: c.sourcePaused,
        preferredProfile: c.preferredProfile,
        effectiveProfile: c.effectiveProfile,
        rtpParameters: c.rtpParameters
      }))
    }))
  }),

  // journal returns what has passed in a room, {dir, peer, kind, body} each, from a place on.
  journal: (command) => roomOf(command).journal.slice(command.from ?? 0),

  closeRoom (command) { roomOf(command).media.close(command.appData) },
  closePeer (command) { peerOf(command).close(command.appData) },
  closeTransport (command) { partOf(command, 'transport').close(command.appData) },
  pauseProducer (command) { partOf(command, 'producer').pause(command.appData) },
  resumeProducer (command) { partOf(command, 'producer').resume(command.appData) },
  closeProducer (command) { partOf(command, 'producer').close(command.appData) },
  pauseConsumer (command) { partOf(command, 'consumer').pause(command.appData) },
  resumeConsumer (command) { partOf(command, 'consumer').resume(command.appData) },
  setConsumerPreferredProfile (command) { partOf(command, 'consumer').setPreferredProfile(command.profile) },
  setProducerPreferredProfile (command) { partOf(command, 'producer').setPreferredProfile(command.profile) },
  requestKeyFrame (command) { partOf(command, 'consumer').requestKeyFrame() },

  // stats returns those of a transport, producer or consumer, which kind says.
  stats: (command) => partOf(command, command.kind).getStats(),

  // notify sends any notification, of any method of the envelope.
  notify (command) { lineOf(command).notify(command.method ?? 'mediasoup-notification', command.data) },

  // disconnect ends a connection as the envelope does, and cut as a network does.
  disconnect (command) { lineOf(command).close() },
  cut (command) { lineOf(command).cut() }
}

// answer executes a command.
async function answer (request, response) {
  if (request.url !== '/api' || request.method !== 'POST') {
    response.writeHead(404).end()
    return
  }
  let reply
  try {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const command = JSON.parse(Buffer.concat(chunks).toString())
    if (!Object.hasOwn(commands, command.do)) throw new Error('unknown command ' + command.do)
    reply = { value: await commands[command.do](command) ?? null }
  } catch (err) {
    reply = { error: String(err?.message ?? err) }
  }
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(reply))
}

const over = (status) => {
  server.close()
  process.exit(status)
}
process.on('uncaughtException', (err) => {
  process.stderr.write(`crash: ${err?.stack ?? err}\n`)
  over(1)
})
setTimeout(() => over(2), life).unref()

if (!Object.hasOwn(envelopes, args.envelope)) throw new Error('unknown envelope ' + args.envelope)
const name = envelopes[args.envelope]()
web.listen(Number(args.port), '127.0.0.1', () => process.stdout.write(JSON.stringify({
  port: web.address().port,
  node: process.version,
  mediasoup: mediasoup.version ?? require('mediasoup/package.json').version,
  envelope: name + ' ' + require(name + '/package.json').version
}) + '\n'))
process.stdin.on('end', () => over(0)).resume()
