// Package cuttlefishhttp is what goes over HTTP around package cuttlefish: the
// endpoints of a server, and how clients and devices reach one.
//
// # Server
//
// [NewHandler] puts these endpoints before a [cuttlefish.Server]:
//
//	GET    /register_device                     WebSocket of a device    document
//	GET    /connect_client                      WebSocket of a client    document
//	GET    /devices/{id}/connect                WebSocket of a client    operator
//	GET    /infra_config                        the config               operator
//	GET    /devices                             the registered devices   operator
//	GET    /devices/{id}                        one of them              operator
//	GET    /devices/{id}/files/{path}           its web page             operator
//	POST   /polled_connections                  opens a polled client    operator
//	POST   /polled_connections/{id}/:forward    client to device         operator
//	GET    /polled_connections/{id}/messages    device to client         operator
//	DELETE /polled_connections/{id}             the client leaves        ours
//
// Those marked document are the protocol document's, the others today's operator's
// (frontend/src/liboperator/operator/operator.go of google/android-cuttlefish, since
// v1.50.0). A page of the operator's generation finds all it needs; its
// js/server_connector.js, the part of a page that belongs to the server, is our own.
//
// Devices of today connect to a unix socket, which needs no HTTP:
//
//	l, err := unixpacket.Listen("/run/cuttlefish/operator", nil)
//	…
//	err = unixpacket.Serve(l, srv.ServeOperatorDevice)
//
// Whom the server lets in is decided by its hooks AuthorizeDevice and AuthorizeClient,
// which find the request in their context, see [wsconn.Request]. /infra_config and
// /devices have no hook but [Options.Config]; wrap the handler where they need one.
//
// # Client
//
// [ConnectClient] connects a client through any of the ways, [ConnectDevice] a device over
// WebSocket or the unix socket. Both reconnect when asked.
//
// # Where the handler differs from the operator
//
//   - A polled connection ends when nobody asks for it for two minutes, when a thousand
//     messages wait for its client, and when its client says goodbye. The operator keeps
//     each one, and all its messages, until the device leaves.
//   - Acknowledged messages, those before the start of a poll, are kept for a while only.
//     Who asks for one that has gone, or for a negative start, gets 400; beyond the end
//     there are none. The operator's handler panics on both of the latter.
//   - Every answer has one status and one body. The operator appends "ok" to the text of
//     a failed forward, and tells text errors of Go's JSON package.
//   - A payload over polling is an object or null, as over the operator's WebSocket. The
//     operator takes anything, and no real client sends anything else.
//   - A forward is answered when the server has it. One that the device cannot take, for
//     its size, ends the connection after that.
//   - A refused client learns why: 404 for an unknown device, 403 for the answer of a
//     hook, 503 for a limit.
//   - Requests of foreign web pages are refused, see [wsconn.Options]. The operator
//     accepts every Origin.
//   - A GET of a WebSocket endpoint without an upgrade is answered with 426, not 400.
//   - Devices are in no group and have no owner: there is no control socket to
//     pre-register them. So adb_port is taken from the device_info.
//   - A device's file server is asked only with [Options.ProxyFiles]. There is no proxy to
//     adb, to the router or to gRPC services.
//   - With WaitForDevice, clients of unknown devices are let in: over the WebSocket they
//     hear nothing at first, and the POST of a polled one stays open. A write time-out of
//     the HTTP server must be longer than the wait.
//
// ICEServersFor of the server's options does not reach clients of the operator's
// endpoints, whose config is not part of their connection. [Options.Config] does.
package cuttlefishhttp
