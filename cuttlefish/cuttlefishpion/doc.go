// Package cuttlefishpion is the WebRTC side of Android Cuttlefish devices and clients:
// peer connections of Pion, negotiated over the signaling of package cuttlefish.
//
// A [Device] shows displays to any number of clients, each with a peer connection of its
// own. A [Client] watches and controls one device. [Device.Run] and [Client.Run] are the
// whole loop of a bot; Handle is for applications with a loop of their own.
//
//	Client                               Device
//	RequestOffer ── request-offer ─────▶ a new peer connection: Tracks, device-control,
//	                                     OnPeer
//	             ◀───────── offer ──────
//	Labels       ────────── answer ────▶
//	             ◀── ice-candidate ────▶
//	OnState      ═══════ connected ═════ OnState
//	OnTrack      ◀══ display_N, audio-0
//	OnEvent      ◀══ device-control ═══▶ OnControl
//	SendInput    ═══ input-channel ════▶ OnInput
//	OnChannel    ◀══ adb-channel, … ═══▶ OnChannel
//	AddTrack     ── offer, answer ─────▶ OnTrack (microphone, camera)
//	OnTrack      ◀── offer, answer ───── AddTrack, RemoveTrack (displays)
//
// A client that requests an offer again, such as a page that was reloaded, gets a new
// peer connection in place of the old one. When the server says that a client has left,
// its peer connection ends; when the device's signaling had to connect again, all do,
// because the client ids begin anew.
//
// # What real peers demand
//
// The package takes care of these:
//
//   - The real Go client (libhoclient) aborts over a candidate before the offer:
//     candidates wait until their description is out.
//   - Candidates may reach a device before the answer: they wait for it.
//   - The real device ends the peer connection over an empty candidate and over one
//     without sdpMid and sdpMLineIndex: a client sends neither.
//   - The browser page finds a display by its stream id, which must be that of the track
//     too: see [NewDisplayTrack].
//   - Without a data channel in the first offer there is no section for any: the device
//     opens device-control before it offers.
//   - Chrome refuses an answer to its own offer that changes the roles of DTLS: the
//     device always answers as their server.
//   - Chrome sends its microphone before its offer has arrived, into sections that ask for
//     media: the device's offers ask for none before the client offers some.
//   - libhoclient rejects all media sections, without a=mid: their tracks are removed for
//     that client, and its data channels work.
//   - A device says its last event of each name to a client that comes late.
//   - Interceptors of Pion see RTCP packets only when somebody reads them: the package
//     does.
//   - The operator's STUN server is not reachable from every machine: nothing waits for
//     the end of gathering.
//
// # What a client may cost a device
//
// As with the real device, a payload that makes no sense is answered with an error and
// ends the peer connection of its sender. Nobody else notices. Peer connections, pending
// candidates, data channels and the time to connect have limits, see [DeviceOptions];
// the real device has none. A client that is not reachable any more loses its peer
// connection when ICE fails, because not every server says that it has left.
package cuttlefishpion
