// A real EasyRTC server, driven by a test.
//
//	node server.js --package open-easyrtc --socketio socket.io --port 0 \
//		--options '{"roomMaxConnection":2}' --io '{"pingInterval":300}' --hooks '{"refuse":["closed"]}'
//
// The package is one of easyrtc, open-easyrtc and its older versions in package.json, the
// Socket.IO one that it works with. Options are those of EasyRTC and of Socket.IO. Besides
// Socket.IO it serves this folder and node_modules, so page.html is at /page.html.
//
// Standard output has one JSON object a line: first {"port"} with the versions, then an
// {"event"} for what the hooks see, and a {"reply"} for each command. Commands are JSON
// objects, one a line of the standard input, with an "id" that comes back as the reply and
// a "do", the name of one of the functions in commands. The server lives until the standard
// input ends, and a few minutes at most.
//
// Hooks, all optional:
//
//	deny      [credential, ...]              authenticate refuses these
//	refuse    [room, ...]                    roomJoin refuses these rooms
//	expect    {room: roomParameter}          roomJoin refuses every other parameter
//	ice       [iceServer, ...] or "error"    what getIceConfig returns
//	fields    {"connection": {name: value}, "session": {name: value}}   set at login, shared
//	answer    {"msgType", "msgData"}         to messages for the server application
'use strict'
const http = require('node:http')
const path = require('node:path')
const readline = require('node:readline')
const { isDeepStrictEqual, parseArgs } = require('node:util')
const express = require('express')

const life = 180_000 // ms

const { values: args } = parseArgs({
  options: {
    package: { type: 'string', default: 'open-easyrtc' },
    socketio: { type: 'string', default: 'socket.io' },
    port: { type: 'string', default: '0' },
    options: { type: 'string', default: '{}' },
    io: { type: 'string', default: '{}' },
    hooks: { type: 'string', default: '{}' }
  }
})

const easyrtc = require(args.package)
const socketio = require(args.socketio)
let hooks = JSON.parse(args.hooks)
let server // the public object of the EasyRTC server

const report = (entry) => process.stdout.write(JSON.stringify(entry) + '\n')

// done makes a promise of a function that wants a callback(err, value) as its last argument.
const done = (f, ...values) => new Promise((resolve, reject) => {
  f(...values, (err, value) => err ? reject(err) : resolve(value))
})

const application = (name) => done(server.app, name ?? 'default')

const connection = async (command) => done((await application(command.application)).connection, command.easyrtcid)

const room = async (command) => done((await application(command.application)).room, command.room)

const commands = {
  // hooks replaces all of them.
  hooks (command) { hooks = command.hooks },

  // state tells what the server knows.
  state () {
    const apps = {}
    for (const [name, app] of Object.entries(server._getPrivateObj().app)) {
      const connections = {}
      for (const [id, c] of Object.entries(app.connection)) {
        connections[id] = {
          username: c.username ?? null,
          credential: c.credential ?? null,
          presence: c.presence,
          session: c.toSession?.easyrtcsid ?? null,
          rooms: Object.fromEntries(Object.entries(c.room).map(([r, in_]) => [r, { apiField: in_.apiField ?? {} }]))
        }
      }
      apps[name] = {
        connections,
        rooms: Object.fromEntries(Object.entries(app.room).map(([r, state]) => [r, Object.keys(state.clientList)])),
        sessions: Object.keys(app.session)
      }
    }
    return { apps }
  },

  // field sets a shared field of the application, a room, a connection or a session, and
  // tells those who are in the room or share the session.
  async field ({ scope, name, value, shared = true, ...command }) {
    const app = await application(command.application)
    switch (scope) {
      case 'application':
        return done(app.setField, name, value, { isShared: shared })
      case 'connection':
        return done((await connection(command)).setField, name, value, { isShared: shared })
      case 'room': {
        const target = await room(command)
        await done(target.setField, name, value, { isShared: shared })
        return done(target.emitRoomDataFieldUpdate, null)
      }
      case 'session': {
        const target = await done(app.session, command.easyrtcsid)
        await done(target.setField, name, value, { isShared: shared })
        return done(target.emitSessionDataFieldUpdate)
      }
      default:
        throw new Error('unknown scope ' + scope)
    }
  },

  // push sends an easyrtcCmd: iceConfig, forwardToUrl, sessionData or whatever else.
  async push (command) {
    return done(server.events.emit.bind(server.events), 'emitEasyrtcCmd', await connection(command),
      command.msgType, { msgData: command.msgData }, null)
  },

  // message sends an easyrtcMsg of the server application.
  async message (command) {
    return done(server.events.emit.bind(server.events), 'emitEasyrtcMsg', await connection(command),
      command.msgType, { msgData: command.msgData }, null)
  },

  // error sends an error by its code.
  async error (command) {
    return done(server.events.emit.bind(server.events), 'emitError', await connection(command), command.code, null)
  },

  // disconnect leaves the namespace, or closes the transport as well.
  async disconnect (command) {
    (await connection(command)).socket.disconnect(command.close === true)
  },

  // deleteRoom works for empty rooms of packages that can do it.
  async deleteRoom (command) {
    return done((await application(command.application)).deleteRoom, command.room)
  }
}

// listen installs the hooks.
function listen () {
  const { defaultListeners } = easyrtc.events
  easyrtc.events.on('authenticate', (socket, easyrtcid, app, username, credential, message, next) => {
    report({ event: 'authenticate', easyrtcid, application: app, username, credential, message })
    const denied = hooks.deny?.some((c) => isDeepStrictEqual(c, credential))
    next(denied ? new Error('denied') : null)
  })
  easyrtc.events.on('authenticated', async (connection, next) => {
    for (const [name, value] of Object.entries(hooks.fields?.connection ?? {})) {
      connection.setField(name, value, { isShared: true }, null)
    }
    const session = await done(connection.getSessionObj)
    for (const [name, value] of Object.entries(hooks.fields?.session ?? {})) {
      session?.setField(name, value, { isShared: true }, null)
    }
    next(null)
  })
  easyrtc.events.on('roomJoin', (connection, name, parameter, callback) => {
    report({ event: 'roomJoin', easyrtcid: connection.getEasyrtcid(), room: name, parameter: parameter ?? null })
    const wanted = hooks.expect?.[name]
    if (hooks.refuse?.includes(name) || (wanted !== undefined && !isDeepStrictEqual(wanted, parameter))) {
      callback(new Error('refused'))
      return
    }
    defaultListeners.roomJoin(connection, name, parameter, callback)
  })
  easyrtc.events.on('getIceConfig', (connection, callback) => {
    if (hooks.ice === 'error') {
      callback(new Error('no servers'))
      return
    }
    if (hooks.ice === undefined) {
      defaultListeners.getIceConfig(connection, callback)
      return
    }
    callback(null, hooks.ice)
  })
  easyrtc.events.on('easyrtcMsg', (connection, message, callback, next) => {
    const { targetEasyrtcid, targetRoom, targetGroup, msgType, msgData } = message ?? {}
    if (targetEasyrtcid === undefined && targetRoom === undefined && targetGroup === undefined) {
      report({ event: 'message', easyrtcid: connection.getEasyrtcid(), msgType, msgData })
      if (hooks.answer) {
        callback(hooks.answer)
        next(null)
        return
      }
    }
    defaultListeners.easyrtcMsg(connection, message, callback, next)
  })
  easyrtc.events.on('disconnect', (connection, next) => {
    defaultListeners.disconnect(connection, (err) => {
      report({ event: 'disconnect', easyrtcid: connection.getEasyrtcid() })
      next(err)
    })
  })
}

const app = express()
const root = path.join(__dirname, '..', '..')
app.use('/node_modules', express.static(path.join(root, 'node_modules')))
app.use(express.static(__dirname))
const web = http.createServer(app)
const ioOptions = { serveClient: false, ...JSON.parse(args.io) }
const io = socketio(web, ioOptions)

process.on('uncaughtException', (err) => {
  report({ event: 'crash', text: String(err?.stack ?? err) })
  process.exit(1)
})
setTimeout(() => process.exit(2), life).unref()

// The options are set one by one because RegExp cannot come from JSON and a name that this
// version does not know must not pass unseen.
const options = { logLevel: 'none', demosEnable: false, appIceServers: [], ...JSON.parse(args.options) }
for (const [name, value] of Object.entries(options)) {
  if (!easyrtc.setOption(name, value)) throw new Error('unknown option ' + name)
}
listen()
easyrtc.listen(app, io, null, (err, pub) => {
  if (err) throw err
  server = pub
  web.listen(Number(args.port), '127.0.0.1', () => report({
    port: web.address().port,
    node: process.version,
    easyrtc: require(args.package + '/package.json').version,
    'socket.io': require(args.socketio + '/package.json').version
  }))
})

const input = readline.createInterface({ input: process.stdin })
input.on('line', async (line) => {
  let command
  try {
    command = JSON.parse(line)
    const f = Object.hasOwn(commands, command.do) ? commands[command.do] : undefined
    if (!f) throw new Error('unknown command ' + command.do)
    const { apps } = await f(command) ?? {}
    report({ reply: command.id, apps })
  } catch (err) {
    report({ reply: command?.id, error: String(err?.message ?? err) })
  }
})
input.on('close', () => process.exit(0))
