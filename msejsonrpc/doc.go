// Package msejsonrpc speaks MSE JSON-RPC 1.0, the protocol between a media server engine
// and its clients: JSON-RPC 2.0 over WebSocket, with WebRTC descriptions and candidates as
// notifications. It has typed messages with validators, a client and a server, over any
// connection.
//
//	client, err := msejsonrpc.Connect(ctx, conn, &msejsonrpc.ClientOptions{Token: token})
//	err = client.SendOffer(msejsonrpc.SessionDescription{Type: "offer", SDP: sdp})
//	for {
//		m, err := client.Next(ctx) // what the server says
//
// A conn is any [github.com/rtcsignal/rtcsignal/transport.Conn], such as one of wsconn.Dial.
//
// The package mse-proto that defined the protocol has vanished from its registry; what is
// left is its readme, here called the protocol document. No implementation of it could be
// found to talk to, so this package is the reference, and every place where the document is
// silent or contradicts JSON-RPC 2.0 has a rule, see below.
//
// # Roles
//
// A [Client] authenticates with a token, starts the session, and then exchanges
// descriptions and candidates with the media server itself: the peer of its peer
// connection is the [Server], whose application handles each session in
// [ServerOptions.Handle]. Package msepion is both ends with Pion, package msejwt checks
// the tokens.
//
//	client                        server
//	auth {token, version} ──────▶ Authenticate
//	                      ◀────── "authenticated"
//	start ──────────────────────▶ AuthorizeStart
//	                      ◀────── "started"
//	sdpOffer {offer}  ◀─────────▶ Handle
//	iceCandidate      ◀─────────▶
//	disconnect ─────────────────▶ closes with 1000
//
// # States
//
// Of a connection; idle is none yet or none any more, any is each state between that and
// the end:
//
//	client  idle ─start─▶ authenticating ─authenticated─▶ starting ─started─▶ active
//	        any ─refused, timeout─▶ closed
//	        any ─lost─▶ idle                     (and start again, with Redial)
//
//	server  new ─auth─▶ authorized ─start─▶ active
//	        any ─disconnect, timeout, closed─▶ gone
//
// A client without a Token, or with NoStart, see [ClientOptions], goes at the application's pace:
//
//	client  idle ─start─▶ connected ─auth─▶ authenticating ─authenticated─▶ authorized
//	        authenticating ─refused─▶ connected
//	        authorized ─auth─▶ authenticating    (a fresh token)
//	        authorized ─start─▶ starting ─started─▶ active
//	        starting ─refused─▶ authorized
//
// Ping is allowed in every state, and so is disconnect.
//
// # Layers
//
// [Decode] and [Encode] read and write messages; [RequestFactory] makes them and
// [Response.Pong], [Response.Authenticated], [Response.Started] and [Response.Identity]
// match their answers, as RequestFactory and ResponseAdapter do in the document.
// [ClientMachine] and [ServerMachine] are the rules without I/O, clock or goroutine.
// [Connect] and [Server] drive them over any
// [github.com/rtcsignal/rtcsignal/transport.Conn].
//
// # Peers
//
// There is no other implementation left. Tested against:
//
//	our client and our server  a server and a client on jsonrpc-lite 2.2.0 (npm), an
//	                           independent JSON-RPC 2.0, for the envelope
//	our server with msepion    the page of examples/server-mse in Chromium 156, with bots
//	                           and with other pages, for the media
//
// # Differences from the document
//
// This package writes exactly the document's shapes and takes what either the document
// or JSON-RPC 2.0 allows. Where they conflict, the document wins. What is marked with a *
// is our judgement, because neither says so. Each rule has its vector or script, named
// after it, in testdata.
//
//  1. A notification has "id":null; no id at all means the same.
//  2. A notification that has a real id is never answered with success, but its errors
//     are.
//  3. * A request without an id is not executed and not answered.
//  4. An error about a notification is not answered: it is counted, and told to
//     [ServerOptions.OnIgnored]; [ServerConfig.Violations] may bound it.
//  5. An id is any string or number and is echoed token for token; other types are -1001.
//  6. * Ids of a client count up from 1. A server does not need them to be unique; a
//     client pairs responses by id, those of equal ids in the order of the requests.
//  7. The id of a -32700 and of a -1001 is null. A client passes errors with id null to
//     the application, as being about the connection.
//  8. -1001 is written, and -32600, its name in JSON-RPC 2.0, read as the same.
//  9. jsonrpc must be "2.0" and method a string that is not empty, else -1001.
//  10. Methods without params take null, an object or an array for them; auth,
//     iceCandidate, sdpOffer and chat take an object only; else -32602.
//  11. Unknown members are ignored (and kept), names match exactly, duplicate names are
//     -1001.
//  12. A batch, empty or not, is one -1001.
//  13. A server ignores responses. A client answers requests with -32601 and hands
//     notifications of unknown methods to the application.
//  14. A response with both or neither of result and error fails its call; null is a
//     result.
//  15. A result of ping, auth or start that is not the document's text is an
//     [*UnexpectedResultError].
//  16. -32603 is a fault of the server's own, such as a hook that failed.
//  17. A binary message ends the connection with 1003, one that is too big with 1009.
//  18. * Without a successful auth, start and whoami are -6001, which requires auth; with
//     one, but without the right, -5001. [ServerConfig.HideCallOrder] makes both -5001.
//     A client takes both for [ErrNotAuthorized].
//  19. Descriptions and candidates before start are out of order, in both directions.
//  20. The checks come in this order: JSON, envelope, method, call order and rights,
//     params.
//  21. A token or version that is missing is -32602, a version that is not supported -32602
//     with data.supported, a token that is refused -4001. The third refused token ends
//     the connection with 1008.
//  22. * auth may be repeated until start; a refusal keeps the old identity. After start it
//     is -6001, which requires disconnect.
//  23. * start may not be repeated: -6001, which requires disconnect.
//  24. When a token expires, requests are -5001; what happens to the media is decided by
//     [ServerOptions.OnExpired].
//  25. whoami does not exist unless [ServerConfig.WhoAmI] is set.
//  26. ping is answered in every state.
//  27. disconnect is taken in every state and closes with 1000.
//  28. * chat is ignored, and with an id -32601, unless [ServerConfig.Chat] is set: then it
//     is relayed to the users that it names, or to everybody, in the author's room.
//  29. Messages of a connection are handled one after the other; answers never overtake.
//  30. Candidates and descriptions are strings or objects; [Form] says which are written.
//     An empty candidate, null or none is the end of the candidates.
//  31. * sdpOffer carries answers too. An object says its type; a string is the answer
//     while an offer of the receiver's is pending. When two offers cross, the server's
//     wins and the client withdraws its own.
//  32. * Either side may offer first; clients of package msepion wait for the server for a
//     while.
//  33. The dates of whoami are read as strings and as numbers, and written in RFC 3339.
//
// # Differences from the real servers
//
// None can be known. Where JSON-RPC 2.0 differs, the rules above say what holds.
//
// # Limits
//
// The document has none. All of these are options of [ServerConfig], [ServerOptions] and
// [ClientOptions]; a negative value is no limit, except for the rules of [Limits] beside the
// two rates. Who is over one is told as the last column says, and nobody else notices; [Stats]
// counts connections that ended so. A newcomer is not authenticated.
//
//	server                                              default       over it
//	AuthTimeout          to be authenticated            10 s          1008
//	StartTimeout         from there to start            60 s          1008
//	AuthAttempts         refused tokens                 3             error, 1008
//	Violations           messages without an answer     none          1008
//	Inbox                messages waiting for Handle    256           1011
//	Connections          at once                        20,000        1013
//	Newcomers            of these                       half of them  1013 to the oldest one
//	MessageBytes         of the largest message         256 KiB       1009
//	QueueMessages        waiting for one connection     256           1013
//	QueueBytes           their bytes                    1 MiB         1013
//	Limits.Messages      of one connection in a second  100           it is read more slowly
//	Limits.MessageBurst  without being slowed           200
//	Limits.Bytes         of one connection in a second  256 KiB       it is read more slowly
//	Limits.ByteBurst     without being slowed           2 MiB
//	Limits.Patience      of being slowed                10 s          1008
//
//	client                                         default  over it
//	HandshakeTimeout  for auth and start together  15 s     ErrHandshakeTimeout
//	CallTimeout       for any other answer         10 s     ErrCallTimeout
//	Heartbeat         between pings                20 s
//	MessageBytes      of the largest message       256 KiB  1009
//	StateBytes        of what waits for Next       64 MiB   ErrSlowConsumer
//	Inbox             messages waiting for Next    256      ErrSlowConsumer
//	QueueMessages     waiting to be written        256      ErrSlowPeer
//	QueueBytes        their bytes                  1 MiB    ErrSlowPeer
//
// A client has 64 requests under way, more fail with [ErrTooManyCalls]. Rooms and their
// members are up to the application; package msepion has limits of its own.
//
// How many connections one address has, and how often it opens one, is limited where they
// come in, by a wsconn.Gate, and not unless asked for: many may be behind one address. For
// those who never finish the head of their request, http.Server has its ReadHeaderTimeout;
// the handlers of this module bound the time of its body.
package msejsonrpc
