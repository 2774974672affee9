// Package mediasouppion is the WebRTC side of mediasoup 2 rooms, with Pion: a client that
// sends and receives, and a server's media.
//
// [Join] brings a client into a room and returns its [Peer], for bots, recorders and bridges;
// [Peer.Run] is its whole loop, Handle is for applications with a loop of their own. [Engine]
// moves the media of a server of package mediasoupproto.
//
//	client                                                 server
//	Join          ──── queryRoom, join ────────────▶
//
//	Publish       ──── createTransport ────────────▶      the first time
//	              ◀─── ICE and DTLS parameters
//	              ──── createProducer ─────────────▶
//	its return    ◀─── {}
//	              ════ media ══════════════════════▶
//
//	OnConsumer    ◀─── newConsumer
//	Consume       ──── createTransport ────────────▶      the first time
//	              ◀─── ICE and DTLS parameters
//	              ──── updateTransport ────────────▶
//	              ◀═══ ICE, DTLS ══════════════════▶      until the track is there
//	              ──── enableConsumer ─────────────▶
//	its return    ◀─── paused, profiles
//	OnTrack       ◀════ media
//	OnClosed      ◀─── consumerClosed, peerClosed
//
// # Producers and consumers
//
//   - The protocol knows no session descriptions. A peer has one peer connection for each
//     direction, as mediasoup-client has, and makes the server's descriptions out of what the
//     server says. So Pion's interceptors work: lost packets are asked for and sent again,
//     and reports go both ways.
//   - A peer has the room's codecs by the room's payload types. It sends a track in the codec
//     that the track has.
//   - A consumer is enabled once its track can be received. mediasoup begins video with a key
//     frame, which it asks the producer for.
//   - A producer that others are to see must send what mediasoup takes for a key frame. In
//     VP8 that needs the extended payload descriptor, which Pion's tracks of samples write;
//     packets that come from elsewhere need not have it.
//   - There is no message that ends a consumer: [Consumer.Close] pauses it.
//   - Media sections of what has ended are used again.
//   - A path that fails is tried again, with a restart of ICE. The server never says how ICE
//     and DTLS stand.
//   - When a lost connection to the server is replaced, producers are published again, with
//     new ids; consumers end, and new ones come. What still arrives until then is received.
//   - Servers of mediasoup 2 have TCP candidates, too, which are not used.
//
// # The engine
//
// An [Engine] forwards packets; it decodes nothing. It asks producers for lost packets and for
// key frames, sends again what consumers have lost, and makes the reports. Of several streams
// that are being sent a consumer gets the best one up to its preferred profile, or the lowest.
// How much the consumer's path can take is not looked at: clients choose, or the application
// does with [mediasoupproto.Server.SetPreferredProfile]. There are no TCP candidates, and
// transports for plain RTP are refused even if the server's configuration allows them.
//
// # What the server may cost
//
// Consumers that are received at once and the time to connect have limits, see [Options].
// What the server says of transports and codecs is checked before it becomes part of a
// session description.
package mediasouppion
