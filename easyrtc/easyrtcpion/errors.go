package easyrtcpion

import (
	"errors"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// Why a call or a file transfer ended or was refused, to be tested with errors.Is. What the
// server refuses is a [*easyrtc.Error].
var (
	// ErrClosed: the peer has been closed, or what is asked of has ended.
	ErrClosed = pionpeer.ErrClosed
	// ErrRejected: the other client does not want the call, or the files.
	ErrRejected = errors.New("easyrtcpion: rejected by the other client")
	// ErrBusy: there is a call with the other client.
	ErrBusy = errors.New("easyrtcpion: there is a call with this client already")
	// ErrGone: the other client has left all rooms that it shared with this one.
	ErrGone = errors.New("easyrtcpion: the other client is gone")
	// ErrDisconnected: the connection to the server was lost, and with it the call or the
	// file transfer.
	ErrDisconnected = errors.New("easyrtcpion: the connection to the server was lost")
	// ErrTooManyCalls: the peer has as many calls as it may.
	ErrTooManyCalls = errors.New("easyrtcpion: too many calls")
	// ErrFailed: the network path to the other client was lost, or none was found.
	ErrFailed = pionpeer.ErrFailed
	// ErrConnectTimeout: the other client could not be reached in time.
	ErrConnectTimeout = pionpeer.ErrConnectTimeout
	// ErrSignaling: what the negotiation says could not be sent. The cause is wrapped too.
	ErrSignaling = pionpeer.ErrSignaling
	// ErrTooManyChannels: the other client has opened more data channels than it may.
	ErrTooManyChannels = pionpeer.ErrTooManyChannels
	// ErrCancelled: the other client does not go on with a file transfer.
	ErrCancelled = errors.New("easyrtcpion: file transfer cancelled by the other client")
	// ErrTooManyFiles: as many file transfers with a client as may be are under way.
	ErrTooManyFiles = errors.New("easyrtcpion: too many file transfers")
	// ErrFileSize: a file is not as long as was said.
	ErrFileSize = errors.New("easyrtcpion: the file has another size than was said")
	// ErrFlood: the other client sends more of a file than it may without an
	// acknowledgement.
	ErrFlood = errors.New("easyrtcpion: more of a file than was acknowledged")
)

var errNoSender = errors.New("easyrtcpion: signaling without a sender")
