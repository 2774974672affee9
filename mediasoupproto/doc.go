// Package mediasoupproto speaks the protocol between mediasoup 2 and mediasoup-client 2: the
// requests and notifications with which a client enters a room, opens transports, sends
// through producers and receives through consumers. It has typed messages with validators, a
// client, a server whose media are behind an interface, and the arithmetic of codecs that
// both sides do, over any connection.
//
//	client, err := mediasoupproto.Connect(ctx, conn, nil)
//	room, err := client.QueryRoom(ctx)
//	joined, err := client.Join(ctx, &mediasoupproto.Join{
//		PeerName: "alice", RTPCapabilities: room.RTPCapabilities,
//	})
//	for {
//		m, err := client.Next(ctx) // what the server says
//
// A conn is any [github.com/rtcsignal/rtcsignal/transport.Conn]. mediasouphttp.Connect makes
// one for the address of a room.
//
// # Roles
//
// [Connect] makes a [Client] of a connection. It asks what the room can do, computes with
// [ExtendRTPCapabilities] what it has in common with it, and joins:
//
//	client                                   server
//	queryRoom ─────────────────────────────▶
//	          ◀──────────── rtpCapabilities
//	join {peerName, rtpCapabilities} ──────▶         newPeer ─▶ the others
//	          ◀──── peers with their consumers
//	createTransport {dtlsParameters} ──────▶
//	          ◀─ iceParameters, candidates, dtlsParameters
//	createProducer {rtpParameters} ────────▶         newConsumer ─▶ the others
//	enableConsumer {transportId} ──────────▶
//	          ◀──────── paused, profiles           media
//	leave ─────────────────────────────────▶         peerClosed ─▶ the others
//
// A [Server] has rooms and peers, and tells a [MediaEngine] what to do with the media. Package
// mediasouppion has one that serves browsers, and bots for any server; [NullEngine] is for
// signaling alone. Package mediasouphttp has the addresses and the subprotocol of the demo.
//
// The application of a server decides in the hooks of [ServerOptions] who joins and what is
// created. It finds peers with [Server.Session], pauses and closes what they have with
// [Server.PauseProducer] and the like, and throws them out with [ServerSession.ClosePeer], or
// with [CloseByServer], after which clients of protoo do not come back by themselves.
//
// # States
//
// Of a connection; idle is none yet or none any more, any is each state between that and
// the end:
//
//	client  idle ─start─▶ new ─join─▶ joining ─answer─▶ joined ─leave, closed─▶ left
//	        joining ─refused─▶ new
//	        left ─join─▶ joining
//	        any ─error, timeout─▶ closed
//	        any ─lost─▶ idle                  (and start and join again, with Redial)
//
//	server  new ─join─▶ joining ─allowed─▶ joined ─leave, closed─▶ left
//	        joining ─refused─▶ new
//	        left ─join─▶ joining
//	        any ─timeout, closed─▶ gone
//
// # Layers
//
// mediasoup defines what messages say, and leaves to applications how requests and answers
// find each other. A [Framing] does that. [Protoo], the default, is what mediasoup's own demo
// uses, and most applications with it:
//
//	{"request":true,"id":1,"method":"mediasoup-request","data":{"method":"queryRoom",…}}
//	{"response":true,"id":1,"ok":true,"data":{…}}
//	{"notification":true,"method":"mediasoup-notification","data":{"method":"newPeer",…}}
//
// There are [Protoo2], [SocketIO] and [TypeBody] besides, and applications may have their
// own. Messages of the application's own travel beside those of mediasoup as [Application].
//
// [ClientMachine] and [ServerMachine] are the rules without I/O, clock or goroutine.
//
// # Peers
//
// Tested against:
//
//	our client and bots  the server mediasoup 2.6.19 with its worker
//	our server and SFU   mediasoup-client 2.4.12 in Chromium 156 and Firefox 153, two and
//	                     three at a time, and our bots
//	the framings         protoo-client and protoo-server 4.0.8 and 2.0.7
//	the codec            recorded traffic of all of these, see testdata/traces
//
// # Differences from the document
//
// The document is that of mediasoup-client 2.4.
//
//   - It leaves out consumerClosed, the answers about plain RTP, the peerName of
//     consumerStats, without which clients drop it, and the marks of seven notifications.
//   - Its interval of statistics is in milliseconds.
//   - newPeer never has consumers. A new consumer is never paused and has the profiles default
//     and null; what holds is said when it is enabled.
//   - updateProducer is known to no server of version 2.6.
//   - Directions are not enforced.
//
// # Differences from the real servers
//
// From mediasoup 2.6.19:
//
//   - A join without header extensions is refused: in mediasoup such a peer makes the others'
//     producers fail, and its name is taken for ever.
//   - Ids of transports and producers are each peer's own: nobody takes another one's.
//     They are integers from 1 to 4294967295; mediasoup invents one for 0 and tells nobody.
//   - Spies and plain RTP transports are refused unless they are allowed; see [ServerConfig].
//   - Members of a wrong JSON type are refused, even where mediasoup ignores them, and so is
//     an interval that is no integer; an empty text counts as absent. JSON with duplicate
//     names, invalid UTF-8 or more than 64 levels is no message.
//   - A room codec or header extension is told once, though two of a producer's map to it; an
//     address of plain RTP is whole or absent.
//   - A connection that has a PeerName, see [Connection], joins by no other one, and a newer
//     connection of the same name ends it, as in the demo.
//   - A join needs Authenticate or AllowAll of [ServerOptions], within 15 s.
//   - Of the RTCP parameters of a producer the others are told what is known of them.
//
// A [Client] fails its requests at once when it leaves the room, where mediasoup-client waits
// for their answers, and never sends what the server refuses.
//
// # Limits
//
// A client waits 30 s for an answer, a server 15 s for the first join. A message to a server
// has 1 MiB, one to a client 16 MiB. A server has 10,000 rooms of 1,000 peers and 1,000
// producers; a peer 16 transports, 32 producers and 256 KiB of data that is kept for others. A
// server has 20,000 connections. Beyond 100 messages or 256 KiB a second a connection is
// slowed, and cut after 10 s of that; one for which 1024 messages or 4 MiB wait has lost its
// connection. All of these are options, see [ServerConfig], [ServerOptions], [ClientOptions]
// and [Limits].
package mediasoupproto
