package mediasoupproto

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
)

// A MediaEngine moves the media of a server's rooms. The server decides what may happen and
// tells the engine; what it tells is valid and comes in order. It refers to what exists, but
// that something may be closed whose creation has failed.
//
// Package mediasouppion has one. [NullEngine] moves nothing.
type MediaEngine interface {
	// OpenRoom begins a room, whose media are described by caps. ctx ends with the room.
	OpenRoom(ctx context.Context, room string, caps *RTPCapabilities, events MediaEvents) (MediaRoom, error)
}

// A MediaRoom is one room of a [MediaEngine]. Its methods are called one after the other, and
// must return soon: the room's media wait meanwhile, though nobody's messages. An error that
// is an [*Error] is told to the client, any other one is logged, and "internal error" told.
type MediaRoom interface {
	// CreateTransport begins a transport; the client's DTLS parameters are in the message,
	// or come with UpdateTransport.
	CreateTransport(id MediaID, m *CreateTransport) (*CreateTransportResult, error)
	// UpdateTransport says the client's parameters. Those of DTLS come once at most, and not
	// when they were in the message that created the transport; those of plain RTP may
	// change. After an error the server closes the transport.
	UpdateTransport(id MediaID, m *UpdateTransport) error
	// RestartTransport changes the ICE parameters of a transport.
	RestartTransport(id MediaID) (*ICEParameters, error)
	// CloseTransport ends a transport. Its producers have been closed before, and its
	// consumers with [MediaRoom.CloseConsumer].
	CloseTransport(id MediaID)

	// CreateProducer begins to take the media of a producer.
	CreateProducer(id MediaID, p *MediaProducer) error
	// PauseProducer drops the media of a producer, or takes them again.
	PauseProducer(id MediaID, paused bool)
	CloseProducer(id MediaID)

	// EnableConsumer begins to send to a consumer. It returns the effective profile, if it
	// is known at once, or "".
	EnableConsumer(id MediaID, c *MediaConsumer) (Profile, error)
	// PauseConsumer sends nothing, or sends again, beginning with a key frame.
	PauseConsumer(id MediaID, paused bool)
	SetPreferredProfile(id MediaID, p Profile)
	// RequestKeyFrame asks the producer of a consumer for a key frame.
	RequestKeyFrame(id MediaID)
	// CloseConsumer ends a consumer that was enabled.
	CloseConsumer(id MediaID)

	// TransportStats, ProducerStats and ConsumerStats return what the messages of the same
	// names say: see [TransportState] and [RTPStreamStats].
	TransportStats(id MediaID) ([]json.RawMessage, error)
	ProducerStats(id MediaID) ([]json.RawMessage, error)
	ConsumerStats(id MediaID) ([]json.RawMessage, error)

	// Close ends the room with all that is left in it, and waits for it.
	Close()
}

// A MediaID names a transport, a producer or a consumer within its room: what clients call
// their own may be called the same by others. An id may come again after its end.
type MediaID struct {
	Peer PeerID
	ID   uint32
}

// A MediaProducer is a producer as an engine needs it.
type MediaProducer struct {
	Transport     MediaID
	Kind          Kind
	RTPParameters *RTPParameters // the client's
	Mapping       *RTPMapping    // from the client's to the room's
	Paused        bool
}

// An RTPMapping says how the packets of a producer are called in its room.
type RTPMapping struct {
	PayloadTypes     map[uint8]uint8 // the producer's to the room's, those of rtx as well
	HeaderExtensions map[uint8]uint8 // ids, likewise
}

// A MediaConsumer is a consumer as an engine needs it.
type MediaConsumer struct {
	Transport        MediaID
	Producer         MediaID
	Kind             Kind
	RTPParameters    *RTPParameters // what the client has been told: its one encoding has the SSRCs
	Paused           bool           // by the client or the server; its producer may be paused besides
	PreferredProfile Profile
}

// MediaEvents are what an engine says by itself. Its methods may be called concurrently,
// also from those of [MediaRoom], and do not block.
type MediaEvents interface {
	// EffectiveProfile says which stream a consumer gets.
	EffectiveProfile(consumer MediaID, p Profile)
	// TransportClosed says that the engine had to end a transport. The server closes it and
	// tells its client.
	TransportClosed(transport MediaID, err error)
}

// NullEngine is a [MediaEngine] for signaling alone: it makes parameters up and moves
// nothing.
type NullEngine struct {
	// Effective is what consumers get at once; "" is nothing, as in mediasoup before the
	// first packet.
	Effective Profile
	// NewText makes a text of n letters and digits that nobody may guess; nil counts, for
	// tests.
	NewText func(n int) string
	// Fingerprints are those of the server's certificate. Nil is one that no certificate has,
	// because mediasoup-client wants one.
	Fingerprints []Fingerprint
}

// OpenRoom implements [MediaEngine].
func (e *NullEngine) OpenRoom(context.Context, string, *RTPCapabilities, MediaEvents) (MediaRoom, error) {
	return &nullRoom{engine: e}, nil
}

type nullRoom struct {
	engine *NullEngine
	count  uint64
}

func (r *nullRoom) text(n int) string {
	if r.engine.NewText != nil {
		return r.engine.NewText(n)
	}
	r.count++
	digits := []byte("0123456789abcdefghijklmnopqrstuvwxyz")
	text := make([]byte, n)
	for i, rest := n-1, r.count; i >= 0; i-- {
		text[i] = digits[rest%36]
		rest /= 36
	}
	return string(text)
}

func (r *nullRoom) parameters() *ICEParameters {
	return &ICEParameters{UsernameFragment: r.text(16), Password: r.text(32), ICELite: true}
}

func (r *nullRoom) CreateTransport(_ MediaID, m *CreateTransport) (*CreateTransportResult, error) {
	const address, discard = "127.0.0.1", 9 // the port of RFC 863, where nobody answers
	if m.PlainRTPParameters != nil {
		return &CreateTransportResult{PlainRTPParameters: &PlainRTPParameters{IP: address, Port: discard}}, nil
	}
	result := &CreateTransportResult{
		ICEParameters:  r.parameters(),
		ICECandidates:  []ICECandidate{},
		DTLSParameters: &DTLSParameters{Role: m.DTLSParameters.AnswerRole(), Fingerprints: r.engine.Fingerprints},
	}
	for _, protocol := range []string{"udp", "tcp"} {
		if !m.Options.takes(protocol) {
			continue
		}
		c := ICECandidate{
			Foundation: protocol + "candidate", Priority: 1078862079, Family: "ipv4", IP: address, Port: discard,
			Type: "host", Protocol: protocol,
		}
		if protocol == "tcp" {
			c.TCPType = "passive"
		}
		result.ICECandidates = append(result.ICECandidates, c)
	}
	if len(result.ICECandidates) == 0 {
		return nil, ErrNoPort
	}
	if result.DTLSParameters.Fingerprints == nil {
		result.DTLSParameters.Fingerprints = []Fingerprint{{Algorithm: "sha-256", Value: "00" + strings.Repeat(":00", 31)}}
	}
	return result, nil
}

// ErrNoPort is what an engine returns when the options of a transport, or the system, leave
// it no port.
var ErrNoPort = NewError("Error", "could not open any IP:port")

// takes reports whether a client wants candidates of "udp" or "tcp".
func (o *TransportOptions) takes(protocol string) bool {
	if o == nil {
		return true
	}
	if protocol == "tcp" {
		return o.TCP == nil || *o.TCP
	}
	return o.UDP == nil || *o.UDP
}

// AnswerRole returns the role of a server whose client has these parameters, or nil for not
// yet.
func (p *DTLSParameters) AnswerRole() DTLSRole {
	switch {
	case p == nil:
		return DTLSRoleAuto
	case p.Role == DTLSRoleClient:
		return DTLSRoleServer
	}
	return DTLSRoleClient
}

func (r *nullRoom) UpdateTransport(MediaID, *UpdateTransport) error { return nil }

func (r *nullRoom) RestartTransport(MediaID) (*ICEParameters, error) { return r.parameters(), nil }

func (r *nullRoom) CloseTransport(MediaID) {}

func (r *nullRoom) CreateProducer(MediaID, *MediaProducer) error { return nil }

func (r *nullRoom) PauseProducer(MediaID, bool) {}

func (r *nullRoom) CloseProducer(MediaID) {}

func (r *nullRoom) EnableConsumer(MediaID, *MediaConsumer) (Profile, error) {
	return r.engine.Effective, nil
}

func (r *nullRoom) PauseConsumer(MediaID, bool) {}

func (r *nullRoom) SetPreferredProfile(MediaID, Profile) {}

func (r *nullRoom) RequestKeyFrame(MediaID) {}

func (r *nullRoom) CloseConsumer(MediaID) {}

var errNoMedia = errors.New("mediasoupproto: no media")

func (r *nullRoom) TransportStats(id MediaID) ([]json.RawMessage, error) {
	b, err := (&TransportState{Type: StatsTransport, ID: id.ID, DTLSState: "new", ICEConnectionState: "new"}).JSON()
	return []json.RawMessage{b}, err
}

func (r *nullRoom) ProducerStats(MediaID) ([]json.RawMessage, error) { return []json.RawMessage{}, nil }

func (r *nullRoom) ConsumerStats(MediaID) ([]json.RawMessage, error) { return []json.RawMessage{}, nil }

func (r *nullRoom) Close() {}
