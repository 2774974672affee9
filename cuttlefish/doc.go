// Package cuttlefish speaks the WebRTC signaling protocol of Android Cuttlefish, the
// virtual Android device: between a device, which offers its displays, clients, which
// watch and control it, and the server between them.
//
// # Roles
//
// A [Device] registers under an id. A [Client] connects to a device by that id. A
// [Server] holds the registry and relays payloads, which it does not look at. What
// device and client say to each other inside is a protocol of its own, see [Payload];
// package cuttlefishpion speaks it with Pion.
//
//	device              server              client
//	register  ───────▶
//	          ◀─────── config
//	                           ◀─────────── connect
//	                    config ───────────▶
//	               device_info ───────────▶
//	                           ◀─────────── forward {request-offer}
//	          ◀─────── client_msg {…}
//	forward {offer} ──▶
//	                device_msg {offer} ───▶
//
// States:
//
//	device  idle ─▶ registering ─config─▶ registered
//	client  idle ─▶ connecting ─config─▶ waiting ─device_info─▶ ready
//	server  new ─register─▶ deciding ─▶ registered          (a device's connection)
//	        new ─connect──▶ deciding ─▶ [waiting ─▶] attached (a client's connection)
//
// # Layers
//
// [Decode] and [Encode] read and write messages; [DecodePayload] and [EncodePayload]
// what is inside them; [DecodeDeviceInfo], [DecodeControlCommand], [DecodeControlEvent]
// and [DecodeInput] what a device registers and what goes over the data channels. [DeviceMachine], [ClientMachine] and [ServerMachine] are the
// rules without I/O, clock or goroutine. [ConnectDevice], [ConnectClient] and [Server]
// drive them over any [github.com/rtcsignal/rtcsignal/transport.Conn]. Package
// cuttlefishhttp adds what goes over HTTP.
//
// # Dialects
//
// There were six servers, and today's operator no longer has the two WebSocket
// endpoints of the protocol document. [DialectDocument] is the document,
// [DialectOperator] today's operator (frontend/src/liboperator of
// google/android-cuttlefish, since v1.50.0). The messages are the same in both.
//
// # Where this package differs from the document and from the real servers
//
//   - The document has an error for everything and does not say what follows. Here as
//     in the C++ server (staging/host/frontend/webrtc_operator) every refusal ends the
//     connection, except for a forward to a client that never existed and for an
//     unknown message_type.
//   - Errors are always valid JSON. The C++ server does not escape what it quotes.
//   - A connection that is refused is closed with a code that says why (1003 binary,
//     1007 not a message, 1008 against the rules, 1009 too big, 1013 over a limit); the
//     C++ server says 1000, today's operator nothing. The real peers ignore the code.
//   - A forward to a client that has left is answered with client_disconnected in both
//     dialects. The Go servers send an error, which makes the real device reconnect and
//     drop all its clients (libdevice/streamer.cpp, OnError); [DeviceMachine] turns that
//     error into a [*ClientDisconnected] as well.
//   - When a device leaves, its clients are told at once, as by today's operator, and
//     their connections end. The C++ server lets them find out with their next forward.
//   - A device id that is taken is refused with the Go servers' text, and its holder
//     notices nothing. The C++ server closes the newcomer without a word and forgets the
//     holder.
//   - Comments, data after the object, duplicate names and names of another case are
//     refused or ignored; jsoncpp takes the first three, Go's operator the last two.
//   - An empty device_id in connect counts as missing. The C++ server looks for a device
//     of that name.
//   - Payloads and device_info go through byte for byte. The C++ server prints them
//     anew, the Go servers pass their numbers through a float64.
//   - Messages, connections, devices, clients, waiting clients, request-offers and rates
//     have limits, see [ServerConfig] and [ServerOptions]. The real servers have almost
//     none.
//   - The alternative flow, client first, is in the document only: see
//     [ServerConfig.WaitForDevice].
package cuttlefish
