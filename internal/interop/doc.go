// Package interop tests this module against the real peers of its protocols: programs
// and browser pages that other people wrote.
//
// Tests are named after the protocol and the peer. A peer that is not there is a test
// that is skipped by the peer's name. Chromium, Firefox and Node.js are found in PATH, what
// package.json names where npm ci has put it, and everything else through an environment
// variable:
//
//	CUTTLEFISH_OPERATOR_BIN  today's signaling server, built from frontend/src/operator
//	                         of google/android-cuttlefish
//	CUTTLEFISH_GOCLIENT_BIN  a program around its Go client library, frontend/src/libhoclient:
//	                         with the arguments BASE_URL DEVICE_ID it connects, sends
//	                         "ping" on adb-channel, prints what comes back and exits with 0
//	CUTTLEFISH_HTML          folder of its browser page, client.html with css and js
//	CUTTLEFISH_INTERCEPT     folder of the operator with js/server_connector.js, which
//	                         the operator serves to that page
//	CUTTLEFISH_HTML_2025     folder of the browser page before commit fe300470d9, with
//	                         the js/server_connector.js of its day beside it
//	GALENE_BIN               Galène's server
//	GALENE_STATIC            folder of its web client, static in its sources
//	GALENE_GCLIENT_SEND      examples/send of jech/gclient, built
//	GALENE_GCLIENT_RECEIVE   examples/receive of it
//
// MSE JSON-RPC has no other implementation. Its peers are a client and a server in
// testdata/mse, written from the protocol document, on npm's ws. They read every message
// with jsonrpc-lite, an independent implementation of JSON-RPC 2.0, and build with it
// what it does not refuse to build. That settles the envelope: ids, notifications, errors,
// and where the document differs from JSON-RPC 2.0. Of the two uses that the document
// makes of "id":null, jsonrpc-lite takes that in errors, and not that in notifications.
//
// EasyRTC's peers are servers and pages from npm, of several years: testdata/easyrtc/server.js
// starts a server of any version, page.html has an unmodified easyrtc.js, and naf.html
// networked-aframe.
//
// mediasoup's are a server and a page from npm: testdata/mediasoup/server.js is mediasoup
// 2.6.19, whose worker npm compiles where there is a Python 2, and testdata/mediasoup/page an
// unmodified mediasoup-client 2.4.12 in Chromium and Firefox.
//
// One suite of Galène's tests runs against its server and against ours. What differs stands
// in one table, deviations in galene_deviation_test.go. One of EasyRTC's does so against
// servers of three versions; its table is easyrtcDeviations.
//
// Everything listens on loopback, with two exceptions: Galène's server and gclient gather no
// loopback candidates, and Firefox takes none from mediasoup, so their media take another
// address of the same host. Every wait is bounded, and every program is stopped by the test
// that started it. What a test saw (versions, time to the first picture,
// frames, packets) is in its log: go test -v.
//
// Tests with browsers run one after the other, because browsers need the processor. All others
// wait for peers and media most of the time and run beside each other: -parallel=4 suits two
// processors.
//
// The browsers are driven from Go, Chromium with chromedp and Firefox through WebDriver BiDi,
// because nothing else is needed to build and run the peers of Cuttlefish; what runs in
// Node.js is in package.json.
package interop
