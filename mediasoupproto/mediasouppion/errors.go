package mediasouppion

import (
	"errors"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// Why a producer or a consumer of a [Peer] ended or a call was refused, to be tested with
// errors.Is. What the server refuses is a [*mediasoupproto.Error].
var (
	// ErrClosed: the peer has been closed, or what is asked of has ended.
	ErrClosed = pionpeer.ErrClosed
	// ErrFailed: the network path to the server was lost, or none was found.
	ErrFailed = pionpeer.ErrFailed
	// ErrConnectTimeout: the server could not be reached in time.
	ErrConnectTimeout = pionpeer.ErrConnectTimeout
	// ErrDisconnected: the connection to the server was lost, and with it what went over it.
	ErrDisconnected = errors.New("mediasouppion: the connection to the server was lost")
	// ErrClosedByServer: the server has closed the producer, or the transport.
	ErrClosedByServer = errors.New("mediasouppion: closed by the server")
	// ErrCodec: the room does not have the codec of a track, or a track that replaces
	// another one has a different codec.
	ErrCodec = errors.New("mediasouppion: codec not in the room, or another one than before")
	// ErrParameters: what the server says of a transport or a consumer cannot be used. The
	// error says more.
	ErrParameters = errors.New("mediasouppion: parameters of the server cannot be used")
	// ErrDuplicate: the consumer is received already.
	ErrDuplicate = errors.New("mediasouppion: received already")
	// ErrTooManyConsumers: as many are received as may be.
	ErrTooManyConsumers = errors.New("mediasouppion: too many consumers")
)

var errNoTrack = errors.New("mediasouppion: no track")
