// Package faults tests the servers and clients of all protocols while something goes wrong
// beside them: connections that are cut, delayed or never finish a frame, servers that stop
// and start again, clocks that jump, disks that are full.
//
// A protocol is a row of one table, which says how its server is made, how a client joins,
// and how two of them exchange a message; every test is for all rows. Most tests run in a
// bubble of testing/synctest, over a network in memory below the real HTTP server and the
// real WebSockets, so that time-outs are those of production and cost no time. The soak runs
// on sockets of the loopback interface.
//
// # The long forms
//
//	go test ./internal/faults -run Soak -timeout 0 -args -soak 30m
//
// soaks every protocol for that long, in place of a second and a half. With -crowd 10000 the tests
// with many clients have as many, in place of 1,000 that never log in and of 40 or 200 that come
// back after a restart:
//
//	go test ./internal/faults -run 'Restart|AllAtOnce|Mute' -args -crowd 10000
package faults
