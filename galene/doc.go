// Package galene speaks the protocol of Galène, the videoconferencing server
// (github.com/jech/galene): JSON objects over a WebSocket, about groups, their members,
// chat, and streams of which each has a peer connection of its own. It has typed messages
// with validators, a client and a server, over any connection.
//
//	client, err := galene.Connect(ctx, conn, nil)
//	joined, err := client.Join(ctx, &galene.Join{Group: "lab", Username: new("ada"), Password: "sesame"})
//	err = client.Chat("hello")
//	for {
//		m, err := client.Next(ctx) // what the server says
//
// A conn is any [github.com/rtcsignal/rtcsignal/transport.Conn], such as one of wsconn.Dial.
// galenehttp.Join makes one for the address of a group, and joins.
//
// # Roles
//
// A [Client] shakes hands, joins a group, and then sends and receives. A [Server] has the
// groups. The other end of every peer connection is the server: it forwards the streams of
// each member to the others. Here that is left to a [MediaRouter]; without one the server
// relays the messages about streams between two members, whose peer connections then meet.
// Package galenepion has a router for groups of any size, and bots that send and receive
// streams and files. Package galenehttp has what goes over HTTP: looking for a group,
// authorisation servers, WHIP, and all that Galène's own web client wants of a server.
// Package galenegroup reads Galène's group files, and galenejwt its tokens.
//
//	client                             server
//	handshake {version, id} ─────────▶
//	          ◀───────── handshake {version}
//	join {group, username, password} ▶
//	          ◀───────── joined, chathistory…, user…
//	request {"": [audio, video]} ────▶
//	          ◀───────── offer {id, label, source, sdp}   a stream of another member
//	answer {id, sdp} ────────────────▶
//	offer {id, label, sdp} ──────────▶                    a stream of one's own
//	          ◀───────── answer {id, sdp}
//	ice {id, candidate} ◀────────────▶                    either way, for either
//	          ◀───────── close {id}
//
// # States
//
// Of a connection; idle is none yet or none any more, any is each state between that and
// the end:
//
//	client  idle ─start─▶ handshaking ─handshake─▶ ready ─join─▶ joining ─joined─▶ joined
//	        joining ─refused─▶ ready
//	        joined ─leave─▶ leaving ─left─▶ ready
//	        joined ─left─▶ ready                 (thrown out)
//	        handshaking ─handshake─▶ joining     (again after a loss, with Redial)
//	        any ─error, silence─▶ closed
//	        any ─lost─▶ idle
//
//	server  handshaking ─handshake─▶ ready ─admitted─▶ joined ─leave─▶ ready
//	        any ─error, silence, closed─▶ gone
//
// Who sends a stream sends the offers:
//
//	sender    ─offer─▶ offered ─answer─▶ stable ─offer─▶ …     renegotiate asks for an offer
//	receiver  ◀offer─ answering ─answer─▶ stable ◀offer─ …     abort asks for the end
//
// # Layers
//
// [Decode] and [Encode] read and write messages; [Check] says what today's server would
// close the connection for. [ClientMachine] and [ServerMachine] are the rules without I/O,
// clock or goroutine. [Connect] and [Server] drive them over any
// [github.com/rtcsignal/rtcsignal/transport.Conn]. The groups of a server come from a
// [GroupStore], such as [Groups].
//
// # Peers
//
// Today's protocol is version 2, from release 0.7 on. The protocol document describes one
// of April 2021, between the releases 0.3.4 and 0.4. [Decode] reads them all,
// [Dialect.Encode] writes them. A [Client] that has "1" in its Versions talks to the
// servers of before 0.7 as well; those of the document, which have labels for tracks and no
// streams, offer it nothing. Tested against:
//
//	our client and bots  Galène at 9e03b36 (July 2026)
//	our client           Galène 1.1, 0.7.2, 0.6.2 and 0.4.4
//	our server           Galène's web client in Chromium 156, two and three at a time, and
//	                     the Go client jech/gclient
//	the codec            recorded traffic of Galène of today, 0.7.2, 0.6.2, 0.4.4 and the
//	                     document's day, see testdata/traces
//
// # Differences from the document
//
// The document is kept where the present server keeps it; the rest follows the server at
// commit 9e03b36, as seen on the wire. The greatest differences:
//
//   - The history has a type of its own, and the time is RFC 3339.
//   - A user's data is called data and not status. Permissions are the document's list, for
//     which the servers of its day wrote an object.
//   - A stream has one label, and requests are lists of kinds for each label.
//   - A kick is a user message of kind kicked.
//   - Clients are closed after 45 to 50 seconds of silence rather than 30.
//
// # Differences from the real servers
//
// A [Server] gives the errors, texts and close codes of the original. On purpose it is
// stricter or kinder where the original lets one user harm another, or itself:
//
//   - The sender and the user name are filled in where a client leaves them out: the
//     original forwards such messages, and they look like the server's own.
//   - User messages of the kinds kicked, token, tokenlist and userinfo are refused: an
//     operator can forge them in the original.
//   - A chat message whose id is in the history is refused, and so is an offer whose id is
//     that of another member's stream: the original closes the other one.
//   - Names and permissions belong to a stay in a group: they are set when a client is
//     admitted, and gone when it leaves. A client that was refused may offer nothing.
//   - A group that is elsewhere is not entered.
//   - A token is edited by operators of its own group only.
//   - Duplicate member names and data after the object end the connection; names of
//     another case are unknown members. Go's decoder takes all three.
//   - The null message is no object; it is answered as the empty one, as in the original.
//   - A request for a stream that has just ended is ignored: the original closes the
//     connection when the two messages cross.
//   - Members are told of the others in the order in which those came; the original has
//     no order.
//
// A [Client] never sends what harms it: null candidates, unknown kinds of actions, requests
// before it has joined, requests for streams that are gone. It leaves by closing, and joins
// again under a new id. It repeats its request a second after joining, because the original
// forgets to offer a stream that begins at the same moment.
//
// # Limits
//
// Real servers have but the first one and the size of a message. All of these are options of
// [ServerConfig], [ServerOptions] and [ClientOptions]; a negative value is no limit, except
// for the rules of [Limits] beside the two rates. Who is over one is told as the last column
// says, and nobody else notices; [Stats] counts connections that ended so. A newcomer has
// joined no group yet.
//
//	server                                                        default       over it
//	HandshakeTimeout                                              15 s          cut
//	JoinTimeout          to join a group at first                 5 min         1008
//	RefusalDelay         of the answer to bad credentials         200 ms
//	Members              of a group                               1,000         fail: too many users
//	EmptyGroups          that are kept                            1,000         the oldest one is forgotten
//	HistoryMessages      of a group                               50            the oldest one is forgotten
//	HistoryBytes         of a group                               1 MiB         the oldest one is forgotten
//	DataBytes            of a user or a group                     64 KiB        error
//	Streams              of a member                              32            abort, error
//	OfferBytes           of a member's streams, without a router  2 MiB         abort, error
//	Inbox                messages of a member waiting for Router  256           1011
//	Connections          at once                                  20,000        1013
//	Newcomers            of these                                 half of them  1013 to the oldest one
//	MessageBytes         of the largest message                   1 MiB         1009
//	QueueMessages        waiting for one connection               4096          1013
//	QueueBytes           their bytes                              4 MiB         1013
//	Limits.Messages      of one connection in a second            100           it is read more slowly
//	Limits.MessageBurst  without being slowed                     200
//	Limits.Bytes         of one connection in a second            256 KiB       it is read more slowly
//	Limits.ByteBurst     without being slowed                     2 MiB
//	Limits.Patience      of being slowed                          10 s          1008
//
//	client                                                        default  over it
//	HandshakeTimeout                                              15 s     ErrHandshakeTimeout
//	CallTimeout       for the answer to a join or a token action  15 s     ErrCallTimeout
//	Heartbeat         silence before a ping                       15 s
//	Silence           of the server                               45 s     ErrHeartbeat
//	MessageBytes      of the largest message                      2 MiB    1009
//	StateBytes        kept of what it is told                     64 MiB   ErrTooMuchState
//	Inbox             messages waiting for Next                   4096     ErrSlowConsumer
//	QueueMessages     waiting to be written                       256      ErrSlowPeer
//	QueueBytes        their bytes                                 1 MiB    ErrSlowPeer
//
// As many bytes as StateBytes may wait for Next as well, more are [ErrSlowConsumer].
//
// A connection ends after [DeadAfter] of silence. A client has 64 token actions under way,
// more fail with [ErrTooManyCalls]. Names of groups, users, streams and labels have 1 KiB, a
// request 64 labels; the history is kept for 4 hours unless the group says otherwise.
//
// How many connections one address has, and how often it opens one, is limited where they
// come in, by a wsconn.Gate, and not unless asked for: many may be behind one address. For
// those who never finish the head of their request, http.Server has its ReadHeaderTimeout;
// the handlers of this module bound the time of its body.
package galene
