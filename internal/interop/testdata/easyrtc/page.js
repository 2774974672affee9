// The user of a page with easyrtc.js. A test calls the methods of window.user, and reads in
// user.journal what has happened, in order. Nothing here changes easyrtc.js; to see the
// signals, and to make them cross, it wraps the emit and the onevent of the page's socket.
//
// The types of entries, with their members:
//
//	received    event, msgType, from, msgData    of the server, before easyrtc.js sees it
//	sent        event, msgType, to               by easyrtc.js
//	occupants   room, ids, occupants             of a room, without this page
//	room        room, joined                     this page has entered or left it
//	incoming    from                             an offer
//	cancelled   from, explicit                   the offer is no longer there
//	accepted    to, accepted                     the answer to a call of this page
//	called      to, media                        part of a call is there: connection, datachannel
//	failed      to, code, text                   a call
//	open, close with                             a data channel
//	stream      from, name, audio, video         tracks of a stream
//	ended       from, name                       a stream
//	delivered   to, name                         a stream that was added to a call
//	message     from, msgType, msgData, target   target is null on a data channel
//	server      msgType, msgData, target         message of the server application
//	error       code, text                       that easyrtc.js would show in a dialog
//	gone                                         the connection to the server
//	sending     to, status, ...                  of files, as easyrtc_ft.js says it
//	offered     from, files                      files
//	receiving   from, status, ...                of files, as easyrtc_ft.js says it
//	file        from, name, mime, text           all of a file, as Latin-1
/* global easyrtc, easyrtc_ft */
'use strict'

window.user = (() => {
  const journal = []
  const note = (type, entry) => journal.push({ t: Math.round(performance.now()), type, ...entry })

  // matches tells whether everything in want is in got.
  const matches = (want, got) => want !== null && typeof want === 'object'
    ? got !== null && typeof got === 'object' && Object.keys(want).every((key) => matches(want[key], got[key]))
    : want === got

  // entries returns what is in the journal of a type, from a place on.
  const entries = (type, want = {}, from = 0) =>
    journal.slice(from).filter((entry) => entry.type === type && matches(want ?? {}, entry))

  const answers = new Map() // of offers that wait for one, by id
  let policy = 'accept'
  let held = null // events of the server that wait, or null

  easyrtc.setOnError(({ errorCode, errorText }) => note('error', { code: errorCode, text: errorText }))
  easyrtc.setAcceptChecker((from, answer) => {
    note('incoming', { from })
    switch (policy) {
      case 'accept': answer(true); break
      case 'reject': answer(false); break
      default: answers.set(from, answer)
    }
  })
  easyrtc.setCallCancelled((from, explicit) => {
    answers.delete(from)
    note('cancelled', { from, explicit })
  })
  easyrtc.setRoomOccupantListener((room, occupants) =>
    note('occupants', { room, ids: Object.keys(occupants).sort(), occupants: structuredClone(occupants) }))
  easyrtc.setRoomEntryListener((joined, room) => note('room', { room, joined }))
  easyrtc.setDataChannelOpenListener((peer) => note('open', { with: peer }))
  easyrtc.setDataChannelCloseListener((peer) => note('close', { with: peer }))
  easyrtc.setPeerListener((from, msgType, msgData, target) =>
    note('message', { from, msgType, msgData, target: target ?? null }))
  easyrtc.setServerListener((msgType, msgData, target) => note('server', { msgType, msgData, target: target ?? null }))
  easyrtc.setDisconnectListener(() => note('gone'))
  easyrtc.setStreamAcceptor((from, stream, name) => {
    const id = `video-${from}-${name}`
    const video = document.getElementById(id) ?? document.createElement('video')
    video.id = id
    video.autoplay = true
    video.muted = true
    document.getElementById('videos').append(video)
    video.srcObject = stream // what setVideoObjectSrc does instead in 1.1.0 is gone from browsers
    note('stream', { from, name, audio: stream.getAudioTracks().length, video: stream.getVideoTracks().length })
  })
  easyrtc.setOnStreamClosed((from, stream, name) => {
    document.getElementById(`video-${from}-${name}`)?.remove()
    note('ended', { from, name })
  })

  // watch puts everything that a socket sends and receives into the journal.
  const watch = (socket) => {
    const { emit, onevent } = socket
    socket.emit = function (event, message, ...rest) {
      if (message?.msgType !== undefined) {
        note('sent', { event, msgType: message.msgType, to: message.targetEasyrtcid })
      }
      return emit.call(this, event, message, ...rest)
    }
    socket.onevent = function (packet) {
      const deliver = () => {
        const [event, message] = packet.data
        const { msgType, senderEasyrtcid: from, msgData } = message ?? {}
        note('received', { event, msgType, from, msgData })
        onevent.call(this, packet)
      }
      if (held) held.push(deliver)
      else deliver()
    }
  }

  // done makes a promise of a function that wants callbacks(value) and (code, text) as its
  // last arguments. It is for outcomes, so it becomes {value} or {code, text}.
  const done = (f, ...values) => new Promise((resolve) => f.call(easyrtc, ...values,
    (...value) => resolve({ value: value.length > 1 ? value : value[0] }),
    (code, text) => resolve({ code, text })))

  const connectionOf = (id) => easyrtc.getPeerConnectionByUserId(id)

  return {
    journal,

    // entries returns what the journal has of a type, saw whether there is anything, and
    // last the last of it. Everything in want must be in an entry, from a place on.
    entries,
    saw: (type, want, from) => entries(type, want, from).length > 0,
    last: (type, want, from) => entries(type, want, from).at(-1),

    // connect logs in, and becomes {value: easyrtcid} or {code, text}. The members of its
    // argument may all be missing:
    //
    //	url         of the server, default this page's; null leaves the choice to easyrtc.js
    //	transports  ["polling"], ["websocket"] or, by default, both in this order
    //	path        of Socket.IO
    //	username, credential, application
    //	data, audio, video    what calls are to have; default data alone
    //	foreign     open camera and microphone without easyrtc.js, for those of its versions
    //	            that today's browsers do not suit
    //	freshIce    get a new ICE configuration for each connection
    //	wait        ms after which it becomes {code: "timeout"}, default 15 s: easyrtc.js
    //	            tells nobody that there is no server
    async connect ({
      url = location.origin, transports, path, username, credential, application = 'default',
      data = true, audio = false, video = false, foreign = false, freshIce = false, wait = 15_000
    } = {}) {
      if (url !== null) {
        easyrtc.setSocketUrl(url, {
          'connect timeout': 10_000,
          'force new connection': true,
          forceNew: true,
          reconnection: false,
          ...(transports && { transports }),
          ...(path && { path })
        })
      }
      if (username !== undefined) easyrtc.setUsername(username)
      if (credential !== undefined) easyrtc.setCredential(credential)
      easyrtc.enableDataChannels(data)
      easyrtc.enableAudio(audio)
      easyrtc.enableVideo(video)
      easyrtc.enableAudioReceive(audio)
      easyrtc.enableVideoReceive(video)
      easyrtc.setUseFreshIceEachPeerConnection(freshIce)
      if (foreign && (audio || video)) {
        const stream = await navigator.mediaDevices.getUserMedia({ audio, video })
        easyrtc.register3rdPartyLocalMediaStream(stream, 'default')
      } else if (audio || video) {
        const media = await done(easyrtc.initMediaSource)
        if (media.code) return media
      }
      let timer
      const late = new Promise((resolve) => { timer = setTimeout(resolve, wait, { code: 'timeout', text: '' }) })
      const login = done(easyrtc.connect, application)
      watch(easyrtc.webSocket)
      const outcome = await Promise.race([login, late])
      clearTimeout(timer)
      return outcome
    },

    disconnect: () => easyrtc.disconnect(),

    // authenticate logs in again on the same connection.
    authenticate: (credential) => done(easyrtc.setCredential, credential),

    id: () => easyrtc.myEasyrtcid,

    // transport names what the socket uses now.
    transport: () => easyrtc.webSocket.io.engine.transport.name,

    // accept says what becomes of offers: "accept", "reject", or "ask" until answer is called.
    accept (what) { policy = what },
    answer (from, accepted) {
      answers.get(from)(accepted)
      answers.delete(from)
    },

    call (to, streamNames) {
      easyrtc.call(to,
        (peer, media) => note('called', { to: peer, media }),
        (code, text) => note('failed', { to, code, text }),
        (accepted, peer) => note('accepted', { to: peer, accepted }),
        streamNames)
    },
    hangup: (id) => easyrtc.hangup(id),
    hangupAll: () => easyrtc.hangupAll(),
    status: (id) => easyrtc.getConnectStatus(id),

    // hold keeps what the server sends from easyrtc.js, until release. So offers of two pages
    // can be made to cross: both hold, call each other, and release once both offers are sent.
    hold () { held ??= [] },
    release () {
      const events = held ?? []
      held = null
      for (const deliver of events) deliver()
    },

    // Messages: on the data channel, through the server to an id or a target {targetRoom},
    // and to the server application.
    sendP2P: (to, msgType, msgData) => easyrtc.sendDataP2P(to, msgType, msgData),
    send: (to, msgType, msgData) => done(easyrtc.sendPeerMessage, to, msgType, msgData),
    sendServer: (msgType, msgData) => done(easyrtc.sendServerMessage, msgType, msgData),

    occupants: (room = 'default') => easyrtc.getRoomOccupantsAsMap(room) ?? {},
    rooms: () => Object.keys(easyrtc.getRoomsJoined()).sort(),
    join: (room, parameter) => done(easyrtc.joinRoom, room, parameter ?? null),
    leave: (room) => done(easyrtc.leaveRoom, room),
    roomList: () => done(easyrtc.getRoomList),
    setApiField: (room, name, value) => easyrtc.setRoomApiField(room, name, value),
    apiField: (room, id, name) => easyrtc.getRoomApiField(room, id, name),
    setPresence: (show, status) => easyrtc.updatePresence(show, status),
    fields: (room = 'default') => ({
      application: easyrtc.getApplicationFields(),
      connection: easyrtc.getConnectionFields(),
      room: easyrtc.getRoomFields(room),
      session: easyrtc.getSessionFields()
    }),

    // refreshIce becomes the servers of the new configuration, or null.
    refreshIce: () => new Promise((resolve) =>
      easyrtc.getFreshIceConfig((ok) => resolve(ok ? easyrtc.getServerIce().iceServers : null))),
    ice: () => easyrtc.getServerIce().iceServers,

    // addStream sends another stream in a call, of the camera or of the microphone.
    async addStream (to, name, kind = 'video') {
      easyrtc.enableAudio(kind === 'audio')
      easyrtc.enableVideo(kind === 'video')
      const media = await new Promise((resolve) => easyrtc.initMediaSource(
        () => resolve({}), (code, text) => resolve({ code, text }), name))
      if (media.code) return media
      easyrtc.addStreamToCall(to, name, () => note('delivered', { to, name }))
      return media
    },

    // sendFile offers a file of a text, each character of which is a byte.
    sendFile (to, name, text) {
      const send = easyrtc_ft.buildFileSender(to, (progress) => {
        note('sending', { to, ...progress })
        return true
      })
      send([new File([Uint8Array.from(text, (c) => c.charCodeAt(0))], name)], true)
    },

    // receiveFiles accepts all that is offered from now on, or rejects it.
    receiveFiles (accept) {
      easyrtc_ft.buildFileReceiver((from, files, answer) => {
        note('offered', { from, files })
        answer(accept)
      }, async (from, blob, name) => {
        const bytes = new Uint8Array(await blob.arrayBuffer())
        note('file', { from, name, mime: blob.type, text: Array.from(bytes, (b) => String.fromCharCode(b)).join('') })
      }, (from, progress) => note('receiving', { from, ...progress }))
    },

    // stats sums up what has come from a peer.
    async stats (id) {
      const total = { frames: 0, audio: 0, video: 0, width: 0, state: '' }
      const pc = connectionOf(id)
      if (!pc) return total
      total.state = pc.iceConnectionState
      for (const s of (await (window.getStats ?? pc.getStats).call(pc)).values()) {
        if (s.type !== 'inbound-rtp') continue
        if (s.kind === 'video') {
          total.frames += s.framesDecoded ?? 0
          total.video += s.packetsReceived
          total.width = Math.max(total.width, s.frameWidth ?? 0)
        } else {
          total.audio += s.packetsReceived
        }
      }
      return total
    }
  }
})()
