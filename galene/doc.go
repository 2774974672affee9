// Package galene speaks the protocol of Galène, the videoconferencing server
// (github.com/jech/galene): JSON objects over a WebSocket, about groups, their members,
// chat, and streams of which each has a peer connection of its own.
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
// States:
//
//	client  idle ─▶ handshaking ─handshake─▶ ready ─join─▶ joining ─joined─▶ joined
//	server  handshaking ─handshake─▶ ready ─join─▶ joined ─leave─▶ ready
//
// A refused join leads back to ready. Who sends a stream sends the offers:
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
// # Dialects
//
// Today's protocol is version 2, from release 0.7 on. The protocol document describes one
// of April 2021, between the releases 0.3.4 and 0.4. [Decode] reads them all,
// [Dialect.Encode] writes them. A [Client] that has "1" in its Versions talks to the
// servers of before 0.7 as well; those of the document, which have labels for tracks and no
// streams, offer it nothing.
//
// # Where this package differs from the document
//
// The document is kept where the present server keeps it; the rest follows the server at
// commit 9e03b36 (July 2026), as seen on the wire. The greatest differences: permissions
// are a list (rtpconn/webclient.go), a user's data is called data and not status, streams
// have one label, requests are lists, the history has a type of its own, a kick is a user
// message of kind kicked, the time is RFC 3339, and clients are closed after 45 to 50
// seconds of silence rather than 30.
//
// # Where it differs from the server
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
//   - A replay of the history, user data, group data, streams, tokens, connections and
//     rates have limits, see [ServerConfig], [ServerOptions] and [Limits].
//   - A request for a stream that has just ended is ignored: the original closes the
//     connection when the two messages cross.
//   - Members are told of the others in the order in which those came; the original has
//     no order.
//
// A [Client] never sends what harms it: null candidates, unknown kinds of actions, requests
// before it has joined, requests for streams that are gone. It leaves by closing, and joins
// again under a new id. It repeats its request a second after joining, because the original
// forgets to offer a stream that begins at the same moment.
package galene
