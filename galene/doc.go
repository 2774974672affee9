// Package galene speaks the protocol of the Galène videoconferencing server: clients and
// servers exchange JSON objects over a WebSocket.
package galene
