package cuttlefishpion

import (
	"errors"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
)

// Why a peer connection ended or a call was refused, to be tested with errors.Is.
var (
	// ErrClosed: the peer connection, the device or the client has ended.
	ErrClosed = errors.New("cuttlefishpion: closed")
	// ErrNoPeer: there is no peer connection, because no offer was requested or the
	// last peer connection has ended.
	ErrNoPeer = errors.New("cuttlefishpion: no peer connection")
	// ErrFailed: the network path to the other side was lost, or none was found.
	ErrFailed = errors.New("cuttlefishpion: connection failed")
	// ErrConnectTimeout: the other side did not answer or could not be reached in time.
	ErrConnectTimeout = errors.New("cuttlefishpion: not connected in time")
	// ErrSignaling: what the negotiation says could not be sent, because signaling is
	// lost. The cause is wrapped too.
	ErrSignaling = errors.New("cuttlefishpion: signaling lost")
	// ErrSlowPeer: the other side did not take what was sent on a data channel.
	ErrSlowPeer = cuttlefish.ErrSlowPeer
	// ErrTooManyPeers: the device has as many peer connections as it may have.
	ErrTooManyPeers = errors.New("cuttlefishpion: too many peer connections")
	// ErrTooManyChannels: the other side has opened more data channels than it may.
	ErrTooManyChannels = errors.New("cuttlefishpion: too many data channels")
)
