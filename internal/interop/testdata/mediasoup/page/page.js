// The user of a page with mediasoup-client. A test calls the methods of window.user, and reads
// in user.journal what has happened, in order. Nothing here changes mediasoup-client or what
// it says: the page carries its messages in an envelope, and does what its events tell it to.
//
// The types of entries, with their members:
//
//	sent          kind, method, body       a request or notification of mediasoup-client
//	answered      method, body or error    a request
//	received      method, body             a notification for mediasoup-client
//	told          method, data             any other notification of the server
//	line          state, code              of the connection: open, failed, disconnected, close
//	room          event, originator, appData           close
//	peer          event, name, originator, appData     newpeer, close
//	transport     event, direction, ...                connectionstatechange, stats, close
//	producer      event, id, kind, ...     pause, resume, stats, handled, unhandled, trackended, close
//	consumer      event, id, kind, peer, ...           newconsumer, pause, resume, stats, handled,
//	              unhandled, effectiveprofilechange, close
//	failed        what, error              something that the page has done by itself
'use strict'
const mediasoup = require('mediasoup-client')
const protoo = require('protoo-client')
const protoo2 = require('protoo-client-2')
const io = require('socket.io-client')

window.user = (() => {
  const query = new URLSearchParams(location.search)
  const journal = []
  const note = (type, entry) => journal.push({ t: Math.round(performance.now()), type, ...entry })

  // matches tells whether everything in want is in got.
  const matches = (want, got) => want !== null && typeof want === 'object'
    ? got !== null && typeof got === 'object' && Object.keys(want).every((key) => matches(want[key], got[key]))
    : want === got

  // entries returns what is in the journal of a type, from a place on.
  const entries = (type, want = {}, from = 0) =>
    journal.slice(from).filter((entry) => entry.type === type && matches(want ?? {}, entry))

  let room // of mediasoup-client
  let line // the connection
  let options
  let transports = {} // of the room, by direction
  const elements = new Map() // that play, by the id of their consumer

  // Lines connect to a server, and hand what it says to told(method, data). They have
  // request(method, data), notify(method, data) and close(), and call state(name, code).
  const lines = {
    protoo: (url, state, told) => {
      const peer = new protoo.Peer(new protoo.WebSocketTransport(url))
      for (const name of ['open', 'failed', 'disconnected', 'close']) peer.on(name, (code) => state(name, code))
      peer.on('notification', ({ method, data }) => told(method, data))
      return peer
    },
    protoo2: (url, state, told) => {
      const peer = new protoo2.Peer(new protoo2.WebSocketTransport(url))
      for (const name of ['open', 'failed', 'disconnected', 'close']) peer.on(name, (code) => state(name, code))
      peer.on('request', ({ method, data }, accept) => {
        accept()
        told(method, data)
      })
      return {
        request: (method, data) => peer.send(method, data),
        notify: (method, data) => peer.send(method, data),
        close: () => peer.close()
      }
    },
    'socket.io': (url, state, told) => {
      const { origin, searchParams } = new URL(url)
      const socket = io(origin, { query: Object.fromEntries(searchParams), transports: ['websocket'], forceNew: true })
      socket.on('connect', () => state('open'))
      socket.on('connect_error', () => state('failed'))
      socket.on('disconnect', () => state(socket.active ? 'disconnected' : 'close'))
      socket.onAny(told)
      return {
        request: (method, data) => new Promise((resolve, reject) =>
          socket.emit(method, data, (err, response) => err ? reject(err) : resolve(response))),
        notify: async (method, data) => { socket.emit(method, data) },
        close: () => socket.disconnect()
      }
    }
  }

  // watch puts the events of a part of mediasoup-client into the journal. pick makes an entry's
  // members of the arguments of an event.
  const watch = (type, part, about, events) => {
    for (const [event, pick] of Object.entries(events)) {
      part.on(event, (...values) => note(type, { event, ...about, ...pick(...values) }))
    }
  }
  const nothing = () => ({})
  const ended = (originator, appData) => ({ originator, appData })
  const gauged = (stats) => ({ stats })

  const transportOf = (direction, appData) => {
    let transport = transports[direction]
    if (transport && !transport.closed) return transport
    transport = room.createTransport(direction, appData)
    transports[direction] = transport
    watch('transport', transport, { direction, id: transport.id }, {
      connectionstatechange: (state) => ({ state }), stats: gauged, close: ended
    })
    return transport
  }

  // play plays what a consumer receives, so that it is decoded.
  const play = (consumer) => {
    const element = document.createElement(consumer.kind)
    element.autoplay = true
    element.playsInline = true
    element.srcObject = new MediaStream([consumer.track])
    document.getElementById('media').append(element)
    elements.set(consumer.id, element)
    element.play().catch(() => {}) // it is the test that sees whether anything is decoded
  }
  const silence = (consumer) => {
    elements.get(consumer.id)?.remove()
    elements.delete(consumer.id)
  }

  // receive has a consumer receive.
  const receive = async (consumer, appData) => {
    await consumer.receive(transportOf('recv', appData))
    play(consumer)
  }

  const meetConsumer = (consumer, peer) => {
    const about = { id: consumer.id, kind: consumer.kind, peer: peer.name }
    note('consumer', { event: 'newconsumer', ...about, appData: consumer.appData })
    watch('consumer', consumer, about, {
      pause: ended,
      resume: ended,
      stats: gauged,
      handled: nothing,
      unhandled: nothing,
      effectiveprofilechange: (profile) => ({ profile }),
      close: ended
    })
    consumer.on('close', () => silence(consumer))
    consumer.on('unhandled', () => silence(consumer))
    if (options.receive && consumer.supported) {
      receive(consumer).catch((err) => note('failed', { what: 'receive', error: String(err) }))
    }
  }

  const meetPeer = (peer) => {
    note('peer', { event: 'newpeer', name: peer.name, appData: peer.appData })
    watch('peer', peer, { name: peer.name }, { close: ended })
    for (const consumer of peer.consumers) meetConsumer(consumer, peer)
    peer.on('newconsumer', (consumer) => meetConsumer(consumer, peer))
  }

  const newRoom = () => {
    room = new mediasoup.Room(options.room)
    watch('room', room, {}, { close: ended })
    room.on('close', () => { transports = {} })
    room.on('newpeer', meetPeer)
    room.on('request', (body, callback, errback) => {
      note('sent', { kind: 'request', method: body.method, body })
      line.request('mediasoup-request', body).then((answer) => {
        note('answered', { method: body.method, body: answer })
        callback(answer)
      }, (err) => {
        note('answered', { method: body.method, error: String(err?.message ?? err) })
        errback(err)
      })
    })
    room.on('notify', (body) => {
      note('sent', { kind: 'notification', method: body.method, body })
      line.notify('mediasoup-notification', body).catch((err) => note('failed', { what: 'notify', error: String(err) }))
    })
  }

  // done makes {value} or {error} of a promise.
  const done = (promise) => Promise.resolve(promise).then((value) => ({ value }), (err) => ({ error: String(err) }))

  // enter joins the room on an open connection.
  const enter = async (appData) => {
    const peers = await room.join(options.name, appData)
    for (const peer of peers) meetPeer(peer)
    return peers.map((peer) => peer.name)
  }

  const connect = () => new Promise((resolve, reject) => {
    const url = new URL(options.url)
    url.searchParams.set('roomId', options.in)
    url.searchParams.set('peerName', options.name)
    for (const [key, value] of Object.entries(options.query)) url.searchParams.set(key, value)
    let opened = false
    line = lines[options.envelope](url.href, (state, code) => {
      note('line', { state, code })
      switch (state) {
        case 'open':
          if (opened && options.again) { // as the demo of mediasoup does
            enter(options.appData).catch((err) => note('failed', { what: 'join', error: String(err) }))
          }
          opened = true
          resolve()
          break
        case 'disconnected':
          room.remoteClose({ cause: 'protoo disconnected' })
          break
        case 'failed':
        case 'close':
          if (opened) break
          line.close() // instead of trying again
          reject(new Error('no connection'))
      }
    }, (method, data) => {
      if (method === 'mediasoup-notification') {
        note('received', { method: data.method, body: data })
        room.receiveNotification(data)
      } else {
        note('told', { method, data })
      }
    })
  })

  const consumers = () => (room?.peers ?? []).flatMap((peer) => peer.consumers)
  const find = (parts, id, what) => {
    const part = parts.find((p) => p.id === id)
    if (!part) throw new Error(`no ${what} ${id}`)
    return part
  }
  const producer = (id) => find(room.producers, id, 'producer')
  const consumer = (id) => find(consumers(), id, 'consumer')
  const transport = (direction) => transports[direction]
  const part = (what, id) => ({ producer, consumer, transport })[what](id)

  const open = async (kind, constraints) => {
    const stream = await navigator.mediaDevices.getUserMedia({ [kind]: constraints ?? true })
    return stream.getTracks()[0]
  }

  const summary = async (type, transport, { id, kind, track, peer }) => {
    const total = {
      id,
      kind,
      peer: peer?.name ?? null,
      packets: 0,
      bytes: 0,
      frames: 0,
      energy: 0,
      width: 0,
      codec: '',
      nacks: 0,
      repaired: 0
    }
    const pc = transport?.handler?._pc
    if (!pc || !track) return total
    const all = await pc.getStats(track)
    for (const s of all.values()) {
      if (s.type !== type || s.isRemote) continue
      total.packets += s.packetsReceived ?? s.packetsSent ?? 0
      total.bytes += s.bytesReceived ?? s.bytesSent ?? 0
      total.frames += s.framesDecoded ?? s.framesEncoded ?? 0
      total.energy += s.totalAudioEnergy ?? 0
      total.width = Math.max(total.width, s.frameWidth ?? 0)
      total.codec = all.get(s.codecId)?.mimeType ?? total.codec
      total.nacks += s.nackCount ?? 0
      total.repaired += s.retransmittedPacketsReceived ?? s.retransmittedPacketsSent ?? 0
    }
    return total
  }

  return {
    journal,

    // entries returns what the journal has of a type, saw whether there is anything, and
    // last the last of it. Everything in want must be in an entry, from a place on.
    entries,
    saw: (type, want, from) => entries(type, want, from).length > 0,
    last: (type, want, from) => entries(type, want, from).at(-1),

    device: () => {
      const { flag, name, version } = mediasoup.getDeviceInfo()
      return { flag, name, version, supported: mediasoup.isDeviceSupported() }
    },

    // join connects and joins, and becomes {value: names of the peers} or {error}. The members
    // of its argument, of which only name has no default:
    //
    //	name      of this peer
    //	in        the room, default "room"
    //	url       of the WebSocket, without the query; default is the one in this page's URL
    //	envelope  protoo, protoo2 or socket.io
    //	query     more of it
    //	appData
    //	room      options of mediasoup-client's Room: spy, requestTimeout, transportOptions...
    //	receive   whether to receive from all consumers as soon as they come; default true
    //	again     whether to join again on a new connection after the old one is lost; default true
    join: (o) => {
      options = {
        in: 'room',
        url: query.get('url'),
        envelope: query.get('envelope') ?? 'protoo',
        query: {},
        room: {},
        receive: true,
        again: true,
        ...o
      }
      newRoom()
      return done(connect().then(() => enter(options.appData)))
    },

    // rejoin joins again, after the room is closed, on the connection that is there.
    rejoin: (appData) => done(enter(appData ?? options.appData)),

    leave: (appData) => room.leave(appData),
    // hangup closes the connection.
    hangup: () => { line.close() },
    joined: () => room.joined,
    closed: () => room.closed,

    // say sends any request of the envelope, and becomes {value} or {error}; mention sends a
    // notification.
    say: (method, data) => done(line.request(method, data)),
    mention: (method, data) => done(line.notify(method, data)),

    canSend: (kind) => room.canSend(kind),

    // send sends audio or video of a fake device, and becomes {value: id of the producer} or
    // {error}. The members of its second argument: constraints of getUserMedia, simulcast,
    // appData, paused.
    send: (kind, o) => done((async () => {
      const { constraints, simulcast, appData, paused = false } = o ?? {}
      const track = await open(kind, constraints)
      const made = room.createProducer(track, simulcast === undefined ? {} : { simulcast }, appData)
      watch('producer', made, { id: made.id, kind }, {
        pause: ended,
        resume: ended,
        stats: gauged,
        handled: nothing,
        unhandled: nothing,
        trackended: nothing,
        close: ended
      })
      if (paused) made.pause()
      await made.send(transportOf('send', { media: 'SEND' }))
      return made.id
    })()),

    // resend sends a producer again, over a new transport.
    resend: (id) => done(producer(id).send(transportOf('send', { media: 'SEND' }))),
    // receive has a consumer receive, for those who joined with receive: false.
    receive: (id) => done(receive(consumer(id), { media: 'RECV' })),

    pauseProducer: (id, appData) => producer(id).pause(appData),
    resumeProducer: (id, appData) => producer(id).resume(appData),
    closeProducer: (id, appData) => producer(id).close(appData),
    replaceTrack: (id, constraints) => done(open(producer(id).kind, constraints)
      .then((track) => producer(id).replaceTrack(track)).then(() => null)),
    pauseConsumer: (id, appData) => consumer(id).pause(appData),
    resumeConsumer: (id, appData) => consumer(id).resume(appData),
    setPreferredProfile: (id, profile) => consumer(id).setPreferredProfile(profile),

    // Stats of "producer" and "consumer" by id, and of "transport" by direction.
    enableStats: (what, id, interval) => part(what, id).enableStats(interval),
    disableStats: (what, id) => part(what, id).disableStats(),

    restartIce: () => room.restartIce(),
    closeTransport: (direction, appData) => transport(direction).close(appData),

    // renewTransport has what is sent or received from now on use a new transport. It is for
    // transports that the server has closed: mediasoup-client keeps them, but cannot use them.
    renewTransport: (direction) => { delete transports[direction] },

    // peers returns what the page knows of the others, and producers what it sends.
    peers: () => room.peers.map((peer) => ({
      name: peer.name,
      appData: peer.appData,
      consumers: peer.consumers.map((c) => ({
        id: c.id,
        kind: c.kind,
        appData: c.appData,
        supported: c.supported,
        handled: Boolean(c.transport),
        paused: c.paused,
        locallyPaused: c.locallyPaused,
        remotelyPaused: c.remotelyPaused,
        preferredProfile: c.preferredProfile,
        effectiveProfile: c.effectiveProfile,
        rtpParameters: c.rtpParameters
      }))
    })),
    producers: () => room.producers.map((p) => ({
      id: p.id,
      kind: p.kind,
      appData: p.appData,
      handled: Boolean(p.transport),
      locallyPaused: p.locallyPaused,
      remotelyPaused: p.remotelyPaused,
      rtpParameters: p.rtpParameters
    })),
    transports: () => Object.values(transports).map(({ id, direction, connectionState, closed }) =>
      ({ id, direction, connectionState, closed })),

    // received sums up the browser's stats of each consumer, sent those of each producer:
    // {id, kind, peer, packets, bytes, frames, energy, width, codec, nacks, repaired}. Frames are
    // those of video that were decoded or encoded, energy is that of the audio that was decoded,
    // nacks are requests for lost packets, and repaired the packets that came or went again.
    received: () => Promise.all(consumers().map((c) => summary('inbound-rtp', c.transport, c))),
    sent: () => Promise.all(room.producers.map((p) => summary('outbound-rtp', p.transport, p)))
  }
})()
