package galenepion

import (
	"errors"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// Why a stream or a file transfer ended or a call was refused, to be tested with errors.Is.
// What the server refuses is a [*galene.Error].
var (
	// ErrClosed: the peer has been closed, or what is asked of has ended.
	ErrClosed = pionpeer.ErrClosed
	// ErrFailed: the network path to the other side was lost, or none was found.
	ErrFailed = pionpeer.ErrFailed
	// ErrConnectTimeout: the other side could not be reached in time.
	ErrConnectTimeout = pionpeer.ErrConnectTimeout
	// ErrSignaling: what the negotiation says could not be sent. The cause is wrapped too.
	ErrSignaling = pionpeer.ErrSignaling
	// ErrCodec: the group does not allow the codec of a track.
	ErrCodec = errors.New("galenepion: codec not allowed in this group")
	// ErrNoTracks: there is nothing to publish.
	ErrNoTracks = errors.New("galenepion: no tracks")
	// ErrDuplicateID: there is a stream of that id.
	ErrDuplicateID = errors.New("galenepion: duplicate stream id")
	// ErrReplaced: the sender has put another stream into the place of this one.
	ErrReplaced = errors.New("galenepion: replaced by another stream")
	// ErrDisconnected: the connection to the server was lost, and with it the stream or
	// the file transfer.
	ErrDisconnected = errors.New("galenepion: the connection to the server was lost")
	// ErrTooManyFiles: as many file transfers with a user as may be are under way.
	ErrTooManyFiles = errors.New("galenepion: too many file transfers")
	// ErrNoUser: the other user of a file transfer is not in the group, any more or at all.
	ErrNoUser = errors.New("galenepion: the user is not in the group")
	// ErrFileSize: a file is not as long as was said.
	ErrFileSize = errors.New("galenepion: the file has another size than was said")
)

// A CancelError ends a file transfer that the other user has cancelled.
type CancelError struct {
	Message string // what the other user's program says; may be empty
}

// Error returns the other user's message.
func (e *CancelError) Error() string {
	if e.Message == "" {
		return "galenepion: file transfer cancelled by the other user"
	}
	return "galenepion: file transfer cancelled by the other user: " + e.Message
}
