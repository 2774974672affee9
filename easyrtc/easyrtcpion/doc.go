// Package easyrtcpion makes calls between clients of an EasyRTC server with Pion, for bots
// that talk to browsers or to each other.
//
// A [Peer] belongs to one client. [Peer.Run] is its whole loop; Handle is for applications
// with a loop of their own. There is one call with another client at a time, with one peer
// connection:
//
//	Peer.Call                                OnCall
//	             ───────── offer ─────────▶  IncomingCall
//	returns      ◀──────── answer ────────   Accept
//	ErrRejected  ◀──────── reject ────────   Reject
//	             ◀────── candidates ──────▶
//	OnTrack      ◀═══════ tracks ═════════▶  OnTrack
//	AddTrack     ◀──── offer, answer ─────▶  AddTrack, RemoveTrack, at any time
//	Call.Send    ◀════ data channel dc ═══▶  OnMessage
//	SendFiles    ◀════ data channel dc ═══▶  OnFiles
//	OnClosed     ◀──────── hangup ────────▶  OnClosed
//
// # Rules
//
//   - A caller sends its candidates after the answer, or at once when the other side has
//     said that it supports half trickle; whoever answers sends them after the answer.
//     Browsers lose what comes earlier. Empty candidates are neither sent nor used.
//   - When two clients call each other at the same time, the offer of the greater id
//     counts. The other one answers it, and offers again afterwards what the answer does not
//     have. Later offers that cross are settled in the same way, unless the answer to the
//     offer of the smaller id comes first: browsers give in whatever their id.
//   - Calling somebody whose offer waits accepts that.
//   - A client that has left all rooms that it shared with this one is gone, and its calls
//     are over. Clients that never shared a room may call each other; browsers end such
//     calls at the next change of a room.
//   - After a [*easyrtc.Reconnected] all calls are over, because the client has another id.
//   - Each side says "dataChannelPrimed" on the data channel, and that it has heard it
//     through the server. Nothing is sent before one of these has come. Chromium now and then
//     loses the text on the channel, so that a page waits for ever; what it says through the
//     server counts as the text as well.
//   - The name of a stream is the stream id of its tracks. It is published in the api field
//     mediaIds of each room that the client is in, beside the fields that are there.
//     Browsers take a name for another one that begins with it, and easyrtc.js 2.1.8 reports
//     the end of a stream at a hangup only if it is called "default".
//   - A caller asks for audio and video beyond what it sends, because a browser sends only
//     where it is asked.
package easyrtcpion
