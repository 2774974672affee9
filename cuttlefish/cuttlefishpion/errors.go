package cuttlefishpion

import (
	"errors"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// Why a peer connection ended or a call was refused, to be tested with errors.Is.
var (
	// ErrClosed: the peer connection, the device or the client has ended.
	ErrClosed = pionpeer.ErrClosed
	// ErrNoPeer: there is no peer connection, because no offer was requested or the
	// last peer connection has ended.
	ErrNoPeer = errors.New("cuttlefishpion: no peer connection")
	// ErrFailed: the network path to the other side was lost, or none was found.
	ErrFailed = pionpeer.ErrFailed
	// ErrConnectTimeout: the other side did not answer or could not be reached in time.
	ErrConnectTimeout = pionpeer.ErrConnectTimeout
	// ErrSignaling: what the negotiation says could not be sent, because signaling is
	// lost. The cause is wrapped too.
	ErrSignaling = pionpeer.ErrSignaling
	// ErrSlowPeer: the other side did not take what was sent on a data channel.
	ErrSlowPeer = pionpeer.ErrSlowPeer
	// ErrTooManyPeers: the device has as many peer connections as it may have.
	ErrTooManyPeers = errors.New("cuttlefishpion: too many peer connections")
	// ErrTooManyChannels: the other side has opened more data channels than it may.
	ErrTooManyChannels = pionpeer.ErrTooManyChannels
)
