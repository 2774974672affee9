// Package msepion is the WebRTC side of MSE sessions: the peer connection between a client
// and a media server, negotiated over the signaling of package msejsonrpc, with Pion at
// either end or at both.
//
// [NewPeer] makes a client's peer, for bots; [NewServerPeer] the server's peer of one
// session. [Peer.Run] is the whole loop of either; Handle is for applications with a loop
// of their own. [Rooms] is a media server: it forwards what each client of a room sends to
// the others.
//
//	NewPeer                              NewServerPeer
//	                  ◀──── sdpOffer ──── first, if it has something to offer
//	                  ───── sdpOffer ───▶ the answer
//	after OfferAfter  ───── sdpOffer ───▶ first, if the server was silent
//	                  ◀── iceCandidate ─▶
//	OnState           ═════ connected ══ OnState
//	OnTrack           ◀════ tracks ════▶ OnTrack
//	OnChannel         ◀══ data channels ▶ OnChannel
//	AddTrack          ◀──── sdpOffer ──▶ AddTrack, RemoveTrack, at any time
//
// # Rules
//
//   - sdpOffer carries offers and answers. In the object form they say which; in the
//     string form a description is the answer while an offer is pending, unless it leaves
//     the role of DTLS open, which only an offer does.
//   - When two offers cross, the server's wins: the client withdraws its own, answers, and
//     offers again.
//   - Each track has a section of its own that asks for nothing in return, so a track is
//     never lost in a section that the other side only sends in. A browser should do the
//     same, with addTransceiver: what it adds to a section of ours with addTrack does not
//     arrive.
//   - Candidates follow their description, and wait for it where they overtake it. The end
//     of the candidates is an empty one.
//   - A client whose network path fails restarts ICE; the server waits for it.
//   - A peer keeps its role of DTLS, whoever offers; browsers refuse anything else.
//   - A client in a browser does well to withdraw as Pion does, by not applying its offer
//     before the answer is there: after a rollback Chromium 156 never offers its data
//     channels again. The page of examples/server-mse shows how.
//   - After a [*msejsonrpc.Reconnected] a client begins a new peer connection, because
//     the server's ended with the connection.
//
// # What a client may cost a server
//
// Pending descriptions and candidates, data channels, tracks, members of a room and the
// time to connect have limits, see [Options] and [RoomsOptions]. A member that does not
// read what a data channel brings is taken out of its room; nobody else notices more than
// a pause.
package msepion
