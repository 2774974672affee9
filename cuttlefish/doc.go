// Package cuttlefish speaks the WebRTC signaling protocol of Android Cuttlefish, the
// virtual Android device: between a device, which offers its displays, clients, which
// watch and control it, and the server between them. It has typed messages with
// validators, a device, a client and a server, over any connection.
//
//	srv := cuttlefish.NewServer(nil)
//	http.Handle("/", cuttlefishhttp.NewHandler(srv, nil))
//	…
//	client, err := cuttlefishhttp.ConnectClient(ctx, "http://127.0.0.1:8443", "cvd-1", nil)
//	err = client.SendPayload(&cuttlefish.RequestOffer{})
//	for {
//		m, err := client.Next(ctx) // what the device says
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
// # States
//
// Of a connection; idle is none yet or none any more, any is each state between that and
// the end:
//
//	client  idle ─start─▶ connecting ─config─▶ waiting ─device_info─▶ ready
//	        idle ─start─▶ waiting             (DialectOperator: the config comes over HTTP)
//	        connecting ─device_info─▶ ready   (a config that is late)
//	        any ─error, timeout─▶ closed
//	        any ─lost─▶ idle                  (and start again, with Redial)
//
//	device  idle ─start─▶ registering ─config─▶ registered
//	        any ─error, timeout─▶ closed
//	        any ─lost─▶ idle
//
//	server  new ─register─▶ deciding ─allowed─▶ registered      (a device's connection)
//	        new ─connect─▶ deciding ─allowed─▶ attached         (a client's connection)
//	        deciding ─unknown device─▶ waiting ─register─▶ attached  (WaitForDevice)
//	        attached ─device left─▶ waiting                     (ParkClients)
//	        any ─refused, timeout, closed─▶ gone
//
// # Layers
//
// [Decode] and [Encode] read and write messages; [DecodePayload] and [EncodePayload]
// what is inside them; [DecodeDeviceInfo], [DecodeControlCommand], [DecodeControlEvent]
// and [DecodeInput] what a device registers and what goes over the data channels.
// [DeviceMachine], [ClientMachine] and [ServerMachine] are the rules without I/O, clock or
// goroutine. [ConnectDevice], [ConnectClient] and [Server] drive them over any
// [github.com/rtcsignal/rtcsignal/transport.Conn]. Package cuttlefishhttp adds what goes
// over HTTP.
//
// # Peers
//
// There were six servers, and today's operator no longer has the two WebSocket
// endpoints of the protocol document. [DialectDocument] is the document,
// [DialectOperator] today's operator (frontend/src/liboperator of
// google/android-cuttlefish, since v1.50.0). The messages are the same in both. Tested
// against:
//
//	our device and client      today's operator, at 9b10c27385
//	our server and the         its Go client library (libhoclient), its browser pages of
//	operator, with our device  2025 and of 2026 in Chromium 156
//	the codec                  recorded traffic of the C++ server and of the Go server
//	                           of 2021, see testdata/traces
//
// The C++ device itself has not been run: it needs a virtual machine.
//
// # Differences from the document
//
//   - The document has an error for everything and does not say what follows. Here as
//     in the C++ server (staging/host/frontend/webrtc_operator) every refusal ends the
//     connection, except for a forward to a client that never existed and for an
//     unknown message_type.
//   - The config comes before the error about an unknown device. device_info may be left out
//     of register, and the device_port of today's devices may be in it.
//   - The alternative flow, client first, is in the document only: see
//     [ServerConfig.WaitForDevice].
//   - Endpoints, polling and payloads of today are not in the document.
//
// # Differences from the real servers
//
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
//
// # Limits
//
// The real servers have almost none. All of these are options of [ServerConfig],
// [ServerOptions], [ClientOptions] and [DeviceOptions]; a negative value is no limit, except
// for the rules of [Limits] beside the two rates. Who is over one is told as the last column
// says, and nobody else notices; [Stats] counts connections that ended so. A newcomer has
// neither registered nor connected to a device.
//
//	server                                              default        over it
//	HandshakeTimeout     for register or connect        10 s           1008
//	WaitTimeout          of a client for its device     2 min          error, 1008
//	Devices              registered                     10,000         error, 1013
//	ClientsPerDevice                                    100            error, 1013
//	Waiting              clients without a device       1,000          error, 1013
//	WaitingPerDevice     of these                       100            error, 1013
//	RequestOffers        of one client in a minute      30             error, 1008
//	DeviceMessage        bytes of one towards a device  64 or 128 KiB  error, 1009
//	DeviceIDBytes                                       1 KiB          error, 1008
//	DeviceInfoBytes                                     64 KiB         error, 1009
//	Connections          at once                        20,000         1013
//	Newcomers            of these                       half of them   1013 to the oldest one
//	QueueMessages        waiting for one connection     256            1013
//	QueueBytes           their bytes                    1 MiB          1013
//	Limits.Messages      of one connection in a second  100            it is read more slowly
//	Limits.MessageBurst  without being slowed           200
//	Limits.Bytes         of one connection in a second  256 KiB        it is read more slowly
//	Limits.ByteBurst     without being slowed           2 MiB
//	Limits.Patience      of being slowed                10 s           1008
//
//	client or device                             default  over it
//	HandshakeTimeout  for the server's config    10 s     ErrHandshakeTimeout
//	StateBytes        kept of what it is told    64 MiB   ErrTooMuchState
//	Inbox             messages waiting for Next  256      ErrSlowConsumer
//	QueueMessages     waiting to be written      256      ErrSlowPeer
//	QueueBytes        their bytes                1 MiB    ErrSlowPeer
//
// As many bytes as StateBytes may wait for Next as well, more are [ErrSlowConsumer].
//
// The size of a message is up to its carrier. Polled connections have limits in package
// cuttlefishhttp.
//
// How many connections one address has, and how often it opens one, is limited where they
// come in, by a wsconn.Gate, and not unless asked for: many may be behind one address. For
// those who never finish the head of their request, http.Server has its ReadHeaderTimeout;
// the handlers of this module bound the time of its body.
package cuttlefish
