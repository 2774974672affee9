// Package galenepion is the WebRTC side of Galène groups, with Pion: a client that sends
// and receives streams and files, and a server's media.
//
// [NewPeer] makes the peer of a client, for bots; [Peer.Run] is its whole loop, Handle is
// for applications with a loop of their own. [Router] is a media server for package galene:
// it forwards what each member of a group sends to those who request it.
//
//	client                                            server
//	Publish       ──── offer, label ───▶
//	its return    ◀─── answer
//	              ◀─── ice ───▶
//	              ════ media ═════════▶
//	              ◀─── renegotiate      another offer, which restarts ICE
//	Err           ◀─── abort, error     refused, or the permission is gone
//	Unpublish     ──── close ─────────▶
//
//	Request       ──── request ───────▶
//	OnStream      ◀─── offer, label
//	              ──── answer ────────▶
//	OnTrack       ◀════ media
//	Request       ──── requestStream ─▶ for one stream
//	Renegotiate   ──── renegotiate ───▶
//	Abort         ──── abort ─────────▶
//	OnClosed      ◀─── close
//
// # Streams
//
//   - There is a peer connection for each stream and direction, made with the newest
//     configuration of the server. Who sends the media sends the offers.
//   - A stream has one track of sound and one of picture at most: others are not forwarded.
//     A camera and a shared screen are two streams.
//   - Candidates follow their description, and wait for that of their generation where they
//     overtake it, which they do when Galène restarts ICE. Their end is never said: Galène
//     closes the connection for it.
//   - A path that fails is tried again, with a restart of ICE.
//   - A stream keeps its label. Its id changes when it is published again: after a loss of
//     the connection, when the permission to publish comes back, and when somebody answers
//     who is not the one of before, as on a server that relays between two users.
//   - A stream that replaces another one keeps its place: see [PublishOptions] and
//     [Subscription].
//   - Closings and answers for unknown streams are normal; nothing is asked of a stream that
//     has ended.
//
// # Files
//
// Files go from user to user, over a data channel that the receiver makes. The invitation,
// the negotiation and the cancellation go through the server, for which both users need the
// permission to send messages.
//
//	SendFile      ──── invite, version, name, size, mimetype ─▶ OnFile
//	              ◀─── offer, version ────────────────────────  Accept
//	              ──── answer ───────────────────────────────▶
//	              ◀─── ice ──▶
//	              ════ pieces of up to 16384 bytes ══════════▶
//	              ◀═══ "done"                                   all is there
//	its return    hangs up
//
// Either side cancels at any time, and is not answered. An empty file is one empty piece.
// What is said here goes beyond the protocol document, which does not know of files.
//
// # What others may cost
//
// Streams, transfers, what waits for a peer connection, and the time to connect have limits,
// see [Options] and [RouterOptions].
package galenepion
