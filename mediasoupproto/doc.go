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
// The real servers have none. All of these are options of [ServerConfig], [ServerOptions] and
// [ClientOptions]; a negative value is no limit, except for the rules of [Limits] beside the
// two rates. Who is over one is told as the last column says, and nobody else notices; [Stats]
// counts connections that ended so. A newcomer has not joined yet.
//
//	server                                                       default       over it
//	JoinTimeout          for the first join                      15 s          1008
//	Rooms                with peers                              10,000        error
//	Peers                of one room                             1,000         error
//	Transports           of one peer                             16            error
//	Producers            of one peer                             32            error
//	RoomProducers        of one room                             1,000         error
//	Pending              requests of one peer waiting for media  64            error
//	PeerBytes            kept of one peer                        256 KiB       error
//	RoomBytes            of all peers of one room                16 MiB        error
//	Connections          at once                                 20,000        1013
//	Newcomers            of these                                half of them  1013 to the oldest one
//	MessageBytes         of the largest message                  1 MiB         1009
//	QueueMessages        waiting for one connection              1024          1013
//	QueueBytes           their bytes                             4 MiB         1013
//	Limits.Messages      of one connection in a second           100           it is read more slowly
//	Limits.MessageBurst  without being slowed                    200
//	Limits.Bytes         of one connection in a second           256 KiB       it is read more slowly
//	Limits.ByteBurst     without being slowed                    2 MiB
//	Limits.Patience      of being slowed                         10 s          1008
//
//	client                                       default  over it
//	HandshakeTimeout  to be in the room again    15 s     ErrHandshakeTimeout
//	CallTimeout       for an answer              30 s     ErrCallTimeout
//	Pending           requests                   256      ErrTooManyCalls
//	MessageBytes      of the largest message     16 MiB   1009
//	StateBytes        kept of what it is told    64 MiB   ErrTooMuchState
//	Inbox             messages waiting for Next  256      ErrSlowConsumer
//	QueueMessages     waiting to be written      256      ErrSlowPeer
//	QueueBytes        their bytes                1 MiB    ErrSlowPeer
//
// As many bytes as StateBytes may wait for Next as well, more are [ErrSlowConsumer]. A peer's
// name has [MaxPeerName] bytes.
//
// How many connections one address has, and how often it opens one, is limited where they
// come in, by a wsconn.Gate, and not unless asked for: many may be behind one address. For
// those who never finish the head of their request, http.Server has its ReadHeaderTimeout;
// the handlers of this module bound the time of its body.
package mediasoupproto
