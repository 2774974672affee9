// Package easyrtc speaks EasyRTC, the signaling protocol of open-easyrtc and of easyrtc
// before it: rooms whose occupants know of each other, and a server that hands offers,
// answers, candidates and messages from one to the other. It has typed messages with
// validators, a client, and a server that can stand in for the one on Node, over any
// connection that carries Engine.IO messages.
//
//	client, err := easyrtc.Connect(ctx, conn, nil)
//	token, err := client.Login(ctx, &easyrtc.Login{Application: "app", Rooms: []string{"lobby"}})
//	for {
//		m, err := client.Next(ctx) // what others and the server say
//
// A conn is any [github.com/rtcsignal/rtcsignal/transport.Conn] that carries messages of
// Engine.IO. easyrtchttp.Login makes one for the address of a server, and logs in.
//
// # Roles
//
// [Connect] makes a [Client] of a connection; [Client.Login] logs it in; the verbs of the
// client wait for the server's verdict, [Client.Next] returns what comes by itself. What the
// server says about rooms is folded into [Client.Rooms].
//
// A [Server] serves connections of both versions of Engine.IO. Each is in one application, and
// in rooms of it. Package easyrtchttp has both with net/http; package easyrtcpion makes calls
// with Pion.
//
//	client                           server                           client
//	authenticate {rooms} ──────────▶
//	                     ◀────────── token {easyrtcid, roomData}
//	                                 roomData ──────────────────────▶
//	offer {targetEasyrtcid} ───────▶
//	                     ◀────────── ack
//	                                 offer {senderEasyrtcid} ───────▶
//	                                 ◀────────────────────────────── ack
//	                                 ◀────────────────────────────── answer
//	                     ◀────────── answer
//	candidate, hangup, message …     in both directions, in the same way
//
// # States
//
// Of a connection; idle is none yet or none any more, any is each state between that and
// the end:
//
//	client  idle ─start─▶ opening ─connect─▶ connected ─authenticate─▶ authenticating
//	        authenticating ─token─▶ ready
//	        opening ─connect─▶ authenticating    (again after a loss, with Redial)
//	        any ─disconnect, refused, timeout─▶ closed
//	        any ─lost─▶ idle ─close─▶ closed
//
//	server  opening ─connect─▶ connected ─authenticate─▶ ready
//	        connected, ready ─disconnect, refused─▶ disconnected ─connect─▶ connected
//	        any ─error, timeout, closed─▶ gone
//
// # Layers
//
// A message is a JSON object, in an event of Socket.IO, in a message of Engine.IO, in a
// WebSocket message or in the body of an HTTP request:
//
//	easyrtc                  {"msgType":"offer","targetEasyrtcid":"…","msgData":{…}}
//	Socket.IO     2 0        ["easyrtcCmd",{…}]           this package; see [Packet]
//	Engine.IO     4          message                      package transport/engineio
//	WebSocket or polling                                  package transport/engineio/enginehttp
//
// The 4 says that it is a message, the 2 that it is an event, and 0 is the event's number.
// [Decode] and [Encode] are for what an Engine.IO message holds, 20["easyrtcCmd",{…}]. What a
// browser's tools show of a WebSocket has the digit of Engine.IO before that,
// 420["easyrtcCmd",{…}], and engineio.ParsePacket takes it off:
//
//	packet, err := engineio.ParsePacket(engineio.V4, transport.Text, frame)
//	m, err := easyrtc.Decode(packet.Data)
//
// A message may have binary attachments, which come behind it in messages of their own; a
// [Decoder] puts them together.
//
// Every event is acknowledged, in both directions: the acknowledgement of a command is its
// answer. [Client.Call] waits for it. Client and server acknowledge by themselves.
//
// [ClientMachine] and [ServerMachine] are the rules without I/O, clock or goroutine.
//
// # Peers
//
// Tested against:
//
//	our client and bots  the servers open-easyrtc 2.1.8 and 2.0.17, easyrtc 1.1.0
//	our server and bots  easyrtc.js 2.1.8, 2.0.20 and 1.1.0 and the adapters of
//	                     networked-aframe 0.14.3 in Chromium 156, through polling, its
//	                     upgrade and WebSockets
//	the codec            recorded traffic of all of these, under Socket.IO 4.8, 2.5 and 1.7,
//	                     see testdata/traces
//
// The servers differ from each other:
//
//   - Clients of open-easyrtc 2.1 speak Engine.IO 4, all before it Engine.IO 3.
//   - easyrtc 1.1 and open-easyrtc 2.0.17 tell of a client once when it logs in, later ones
//     twice, as this server does.
//   - A [StillAlive] is wanted by open-easyrtc 2.0.5 to 2.0.17, and refused by all others. This
//     server acknowledges it, the client sends it where the token asks for it.
//   - easyrtc 1.1 disconnects a client that logs in twice; open-easyrtc 2.1.8 then carries out
//     everything twice.
//   - easyrtc 1.1 hands messages to rooms in which their sender is not.
//
// # Differences from the document
//
// The document leaves the transport, the acknowledgements and most checks open, and is wrong
// in places:
//
//   - The fields of iceConfig, setPresence, roomJoin and the like are one level deeper, in a
//     member of their name, and an ICE server has urls.
//   - A credential must be an object or an array.
//   - reject, hangup and getRoomList have no msgData at all.
//   - Api fields belong to a room, and each setRoomApiField replaces them all.
//   - setUserCfg has no effect, and presence may have a null status.
//   - The fields of a browser and its system do not exist.
//   - Only errors and events have a serverTime beside msgData. An error has a text, and every
//     event has the receiver's easyrtcid.
//   - A roomList has all rooms of the application.
//   - Groups exist in no server; a message to one is refused with MSG_REJECT_TARGET_GROUP.
//
// # Differences from the real servers
//
// On purpose, from open-easyrtc:
//
//   - A login that fails leaves nothing behind: no rooms, no client whom the others see for
//     ever. Its rooms are all joined, or none.
//   - A client that logs in again on its connection keeps its id and gets a new token. It
//     stays in its application: another name is LOGIN_APP_AUTH_FAIL.
//   - A login that does not come within 15 s is told LOGIN_TIMEOUT and closed. After a
//     disconnect packet a connection has 45 s to connect again.
//   - Messages without a target are answered: by ServerOptions.Message, or plainly. The
//     original answers nothing unless its application does.
//   - Arguments that the original cannot handle, such as null, empty maps or names like
//     hasOwnProperty, are answered with MSG_REJECT_BAD_STRUCTURE, or are ordinary names. Only
//     "__proto__" is no name of a room or of an api field, for the sake of browsers.
//   - Every change of a client comes with its api field, which the original leaves out of some.
//   - Lists of rooms must be objects; the original takes arrays as well. Several rooms of one
//     message are handled in the order of their names.
//   - Ids are random, of 16 letters and digits. Those of Socket.IO packets may have 15 digits.
//   - A login needs Authenticate or AllowAll of [ServerOptions]; the original lets everybody
//     in.
//   - JSON with duplicate names, invalid UTF-8 or more than 64 levels ends the connection.
//
// # Limits
//
// The real server has those of names, of rooms and of messages. All of these are options of
// [ServerConfig], [ServerOptions] and [ClientOptions]; a negative value is no limit, except
// for the rules of [Limits] beside the two rates. Who is over one is told as the last column
// says, and nobody else notices; [Stats] counts connections that ended so. A newcomer has not
// logged in.
//
//	server                                              default        over it
//	ConnectTimeout       for the connect packet         45 s           closed
//	LoginTimeout         from there to the login        15 s           LOGIN_TIMEOUT, closed
//	StillAliveInterval   between two stillAlive         not asked for  closed
//	StillAliveGrace      how much later one may come    10 s           closed
//	Applications         made by clients                100            an empty one goes, or LOGIN_GEN_FAIL
//	Rooms                of one application             10,000         an empty one goes, or BAD_ROOM
//	RoomConnections      in one room                    100            BAD_ROOM, LOGIN_GEN_FAIL
//	RoomsEach            that a connection is in        100            BAD_ROOM, LOGIN_GEN_FAIL
//	Sessions             of one application             10,000         an unused one goes
//	Connections          at once                        20,000         1013
//	Newcomers            of these                       half of them   1013 to the oldest one
//	MessageBytes         of the largest message         1 MB           closed
//	QueueMessages        waiting for one connection     1024           1013
//	QueueBytes           their bytes                    4 MiB          1013
//	Limits.Messages      of one connection in a second  100            it is read more slowly
//	Limits.MessageBurst  without being slowed           200
//	Limits.Bytes         of one connection in a second  256 KiB        it is read more slowly
//	Limits.ByteBurst     without being slowed           2 MiB
//	Limits.Patience      of being slowed                10 s           1008
//
//	client                                           default  over it
//	HandshakeTimeout  for the connect packet         15 s     ErrHandshakeTimeout
//	CallTimeout       for an acknowledgement         10 s     ErrCallTimeout
//	Pending           without their acknowledgement  1024     ErrTooManyCalls
//	MessageBytes      of the largest message         2 MB     1009
//	StateBytes        kept of what it is told        64 MiB   ErrTooMuchState
//	Inbox             messages waiting for Next      256      ErrSlowConsumer
//	QueueMessages     waiting to be written          256      ErrSlowPeer
//	QueueBytes        their bytes                    2 MB     ErrSlowPeer
//
// As many bytes as StateBytes may wait for Next as well, more are [ErrSlowConsumer].
//
// An api field and a presence type stay below [MaxAPIField]; a message that names more than
// RoomsEach rooms is refused as a whole. Names have the lengths of the real server, see
// [Rules].
//
// How many connections one address has, and how often it opens one, is limited where they
// come in, by a wsconn.Gate, and not unless asked for: many may be behind one address. For
// those who never finish the head of their request, http.Server has its ReadHeaderTimeout;
// the handlers of this module bound the time of its body.
package easyrtc
