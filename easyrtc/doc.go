// Package easyrtc speaks EasyRTC, the signaling protocol of open-easyrtc and of easyrtc
// before it: rooms whose occupants know of each other, and a server that hands offers,
// answers, candidates and messages from one to the other. It has typed messages with
// validators, a client, and a server that can stand in for the one on Node, over any
// connection that carries Engine.IO messages.
//
// # Layers of the wire
//
// A message is a JSON object, in an event of Socket.IO, in a message of Engine.IO, in a
// WebSocket message or in the body of an HTTP request:
//
//	easyrtc                  {"msgType":"offer","targetEasyrtcid":"…","msgData":{…}}
//	Socket.IO     2 0        ["easyrtcCmd",{…}]           this package; see [Packet]
//	Engine.IO     4          message                      package transport/engineio
//	WebSocket or polling                                  package transport/engineio/enginehttp
//
// [Decode] and [Encode] are for what an Engine.IO message holds, 20["easyrtcCmd",{…}]. What a
// browser's tools show of a WebSocket has the digit of Engine.IO before that,
// 420["easyrtcCmd",{…}]: engineio.ParsePacket takes it off. A message may have binary
// attachments, which come behind it in messages of their own; a [Decoder] puts them together.
//
// Every event is acknowledged, in both directions: the acknowledgement of a command is its
// answer. [Client.Call] waits for it. Client and server acknowledge by themselves.
//
// # Roles
//
// [Connect] makes a [Client] of a connection; [Client.Login] logs it in; the verbs of the
// client wait for the server's verdict, [Client.Next] returns what comes by itself. What the
// server says about rooms is folded into [Client.Rooms].
//
//	idle ──Start──▶ opening ──connect──▶ connected ──authenticate──▶ authenticating ──token──▶ ready
//
// A [Server] serves connections of both versions of Engine.IO. Each is in one application, and
// in rooms of it:
//
//	opening ──connect──▶ connected ──authenticate──▶ ready
//	   ▲                      │                        │
//	   └────── connect ── disconnected ◀── disconnect ─┘
//
// Package easyrtchttp has both with net/http; package easyrtcpion makes calls with Pion.
//
// # Peers
//
// The facts behind this package were measured with the servers open-easyrtc 2.1.8, 2.0.20,
// 2.0.17 and easyrtc 1.1.0, under Socket.IO 4.8, 2.5 and 1.7, and with api/easyrtc.js of the
// same packages in Chromium. testdata/traces has their traffic.
//
// # Where the servers differ
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
// # What differs from open-easyrtc on purpose
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
//   - Applications, rooms, sessions, and what one connection may send are limited, see
//     [ServerConfig] and [Limits]. A message that names more rooms than a connection may be
//     in is refused as a whole. A presence type is limited as an api field is.
//   - A login needs Authenticate or AllowAll of [ServerOptions]; the original lets everybody
//     in.
//   - JSON with duplicate names, invalid UTF-8 or more than 64 levels ends the connection.
//
// Groups exist in no server; a message to one is refused with MSG_REJECT_TARGET_GROUP.
//
// # What the protocol document says otherwise
//
// The document leaves the transport, the acknowledgements and most checks open, and is wrong
// in places: a credential must be an object or an array; reject, hangup and getRoomList
// have no msgData at all; api fields belong to a room, and each setRoomApiField replaces them
// all; setUserCfg has no effect; presence may have a null status; the fields of a browser and
// its system do not exist; only errors and events have a serverTime beside
// msgData.
package easyrtc
