// Package bench compares this module with other libraries that do the same work. It is a
// module of its own, so that nobody who uses rtcsignal depends on them.
//
// Benchmarks are named after the protocol, and so are their files. The last part of each
// name says whose code runs, so that benchstat sets the libraries beside each other:
//
//	go test -run '^$' -bench Call -count 6 | benchstat -col /lib -
//
// benchstat comes with this repository:
//
//	go -C ../tools build -o /tmp/benchstat golang.org/x/perf/cmd/benchstat
//
// Only the ratios of one run mean something: client and server share a process and its
// processors, and allocations are those of both.
//
// # MSE JSON-RPC
//
// Its peers are two libraries for JSON-RPC 2.0, github.com/creachadair/jrpc2 (jrpc2) and
// golang.org/x/exp/jsonrpc2 (xexp). What each of them needs to be fast it gets:
//
//   - In memory both pass their buffers from goroutine to goroutine, while rtcsignal copies
//     each message through transport.Pipe.
//   - Over WebSocket all three use the same connections of transport/wsconn, with one
//     buffer for all that is read.
//   - jrpc2 has no built-in methods and no log, and runs one handler at a time, because
//     ping has nothing to do in parallel.
//   - xexp answers in its Preempter, which saves one of its two queues.
//   - They serve one method, ping, to anybody, without time-outs or limits. The session of
//     rtcsignal is authenticated and started, with its default time-outs, its heartbeat and
//     the checks of each message, but without a limit of messages a second.
//
// Decoding ends with typed params, as a handler needs them. jrpc2 encodes requests and
// notifications nowhere but in a client, so there it is a notification over a channel
// that discards it, and the request itself has no id.
//
// # Galène
//
// On the client's side the peer is the usual way of Go programs (flat): gorilla/websocket
// and encoding/json into one struct for all messages, read by a goroutine that hands
// events on through a channel, without any checks. Both clients are fed by the same
// server, which writes frames made in advance and is at most 192 messages ahead, fewer
// than our client's inbox takes. Our client has its defaults, its heartbeat, and all
// checks. Reading ends with the text of a chat message.
//
// On the server's side the peer is the Galène server itself (galene), whose program
// GALENE_BIN names; without it those benchmarks are skipped. Both servers run in processes
// of their own, so allocations are not theirs but those of the members, which are bare
// WebSockets and cost the same in front of both. Sixteen messages are under way at once.
//
// # EasyRTC
//
// The codec is compared with encoding/json, used in two ways: into structs that have no
// more than what is wanted, once for each level of the message (struct), and into maps
// (map). Neither checks anything. Decoding ends with the text of a candidate or a
// description, or with the names of those who are in a room, and encoding begins there;
// of roomData and token it begins with the whole message.
//
// In memory the server has nobody beside it (Relay, Room, Login). Its connections are
// pipes, and its clients write what was made in advance; they acknowledge each event, as
// browsers do. One message is under way at a time.
//
// Over loopback the peer is open-easyrtc on Node (node), which the program starts that
// EASYRTC_SERVER names; without it those benchmarks are skipped:
//
//	EASYRTC_SERVER=../interop/testdata/easyrtc/server.js go test -run '^$' -bench EasyRTCServer
//
// Both servers run in processes of their own, in front of the same bare WebSockets, with
// sixteen messages under way at once. That of Node tells its standard output of each login,
// which is over when the measurement begins.
//
// # Load
//
// Command load, in the folder of that name, measures whole servers: ours, the real ones and a
// relay that looks at nothing, as processes of their own beside each other, with relays,
// broadcasts, joins, idle members, floods, stalled readers and the end by a signal; and codecs
// and calls in its own process. One command prints all of it, and then the table of targets with
// a verdict on each:
//
//	go run ./load
package bench
