package pionpeer

import (
	"errors"

	"github.com/rtcsignal/rtcsignal/internal/link"
)

// What a [Peer] answers and reports.
var (
	// ErrClosed is returned for input to a Peer or a Session that has ended.
	ErrClosed = errors.New("rtcsignal: closed")
	// ErrOverflow is returned for received input that exceeds [Config.MaxPending], and reported for candidates
	// beyond that limit: those that wait for a description, and those of one ICE generation.
	ErrOverflow = errors.New("pionpeer: too much pending input")
	// ErrUnexpectedAnswer is reported for an answer while no offer is out. It changes nothing.
	ErrUnexpectedAnswer = errors.New("pionpeer: answer without an offer")
	// ErrNothingToOffer is reported for a negotiation of a PeerConnection without transceivers and data channels.
	ErrNothingToOffer = errors.New("pionpeer: neither media nor a data channel to offer")
)

// Why a [Session] ended. Packages of protocols export them under the same names, so the texts name none.
var (
	// ErrFailed: the network path to the other side was lost, or none was found.
	ErrFailed = errors.New("rtcsignal: connection failed")
	// ErrConnectTimeout: the other side did not answer or could not be reached in time.
	ErrConnectTimeout = errors.New("rtcsignal: not connected in time")
	// ErrSignaling: what the negotiation says could not be sent. The cause is wrapped too.
	ErrSignaling = errors.New("rtcsignal: signaling lost")
	// ErrSlowPeer: the other side did not take what was sent on a data channel.
	ErrSlowPeer = link.ErrSlowPeer
	// ErrTooManyChannels: the other side has opened more data channels than it may.
	ErrTooManyChannels = errors.New("rtcsignal: too many data channels")
)

// A DescriptionError is reported for a received description that is none. It changes nothing.
type DescriptionError struct{ Err error }

func (e *DescriptionError) Error() string { return e.Err.Error() }
func (e *DescriptionError) Unwrap() error { return e.Err }
