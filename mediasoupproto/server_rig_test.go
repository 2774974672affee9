package mediasoupproto

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// mediaNames are the methods of an engine by the operations.
var mediaNames = map[MediaKind]string{
	MediaOpenRoom: "OpenRoom", MediaCloseRoom: "CloseRoom",
	MediaCreateTransport: "CreateTransport", MediaUpdateTransport: "UpdateTransport",
	MediaRestartTransport: "RestartTransport", MediaCloseTransport: "CloseTransport",
	MediaCreateProducer: "CreateProducer", MediaPauseProducer: "PauseProducer", MediaCloseProducer: "CloseProducer",
	MediaEnableConsumer: "EnableConsumer", MediaPauseConsumer: "PauseConsumer",
	MediaSetPreferredProfile: "SetPreferredProfile", MediaRequestKeyFrame: "RequestKeyFrame",
	MediaCloseConsumer: "CloseConsumer", MediaTransportStats: "TransportStats",
	MediaProducerStats: "ProducerStats", MediaConsumerStats: "ConsumerStats",
}

// produceAudio begins to send over transport 1.
const produceAudio = `createProducer#3 {"id":1,"kind":"audio","transportId":1,"rtpParameters":@opus:1}`

// A serverRig is a machine whose media answer when a test wants it.
type serverRig struct {
	*ServerMachine
	t     testing.TB
	now   time.Time
	auto  bool      // the media answer at once, as a NullEngine does
	asks  bool      // questions are left to the test
	ops   []MediaOp // whose results are awaited
	said  []string  // what has happened since take
	names map[PeerID]string
}

func newServerRig(t testing.TB, cfg ServerConfig) *serverRig {
	return &serverRig{
		ServerMachine: NewServerMachine(cfg), t: t, now: serverDawn, auto: true, names: make(map[PeerID]string),
	}
}

// connect adds a connection under a name for what take returns.
func (r *serverRig) connect(id PeerID, name string) {
	r.names[id] = name
	r.do(r.Connect(r.now, id, Connection{}))
}

// enter adds a connection that joins by its name.
func (r *serverRig) enter(id PeerID, name string) {
	r.connect(id, name)
	r.say(id, fmt.Sprintf(`join#1 {"peerName":%q,"rtpCapabilities":@caps}`, name))
}

// say plays messages of a connection as scripts have them.
func (r *serverRig) say(id PeerID, texts ...string) {
	for _, text := range texts {
		frame := sceneSays(Protoo, script.Message{Data: []byte(text)})
		m, err := decoder(Protoo, DefaultMessageBytes)(transport.Text, frame.Data)
		if err != nil {
			r.do(r.Malformed(r.now, id, asDecodeError(err)))
			continue
		}
		r.do(r.Receive(r.now, id, m))
	}
}

// do carries out effects.
func (r *serverRig) do(fx ServerEffects) {
	for _, d := range fx.Send {
		data, err := EncodeFramed(Protoo, d.Message)
		require.NoError(r.t, err)
		r.said = append(r.said, r.names[d.To]+" "+heardShort(data))
	}
	for _, q := range fx.Ask {
		if r.asks {
			r.said = append(r.said, "ask "+name(q.Message))
		}
	}
	var done []MediaOp
	for _, op := range fx.Media {
		if op.Ticket != (Ticket{}) {
			if r.auto {
				done = append(done, op)
			} else {
				r.ops = append(r.ops, op)
			}
		}
		r.said = append(r.said, "media "+r.mediaText(op))
	}
	for _, c := range fx.Close {
		r.said = append(r.said, fmt.Sprintf("close %s %d %q", r.names[c.Peer], c.Code, c.Reason))
	}
	for _, op := range done {
		r.done(op, nullResult(op))
	}
	for _, q := range fx.Ask {
		if !r.asks {
			r.do(r.Decide(r.now, q.Ticket, Decision{}))
		}
	}
}

// done answers an operation.
func (r *serverRig) done(op MediaOp, result MediaResult) { r.do(r.MediaDone(r.now, op.Ticket, result)) }

// answerAll answers the operations that wait.
func (r *serverRig) answerAll(result func(op MediaOp) MediaResult) {
	for len(r.ops) > 0 {
		op := r.ops[0]
		r.ops = r.ops[1:]
		r.done(op, result(op))
	}
}

// nullResult is what a NullEngine says to an operation.
func nullResult(op MediaOp) (result MediaResult) {
	room := &nullRoom{engine: new(NullEngine)}
	var err error
	switch op.Kind {
	case MediaCreateTransport:
		result.Transport, err = room.CreateTransport(op.ID, op.Message.(*CreateTransport))
	case MediaRestartTransport:
		result.ICE, err = room.RestartTransport(op.ID)
	case MediaTransportStats:
		result.Stats, err = room.TransportStats(op.ID)
	case MediaProducerStats:
		result.Stats, err = room.ProducerStats(op.ID)
	case MediaConsumerStats:
		result.Stats, err = room.ConsumerStats(op.ID)
	}
	if err != nil {
		result.Err = err.(*Error)
	}
	return result
}

// refusedResult is what an engine says that is full.
func refusedResult(MediaOp) MediaResult { return MediaResult{Err: &Error{Code: 503, Reason: "full"}} }

func (r *serverRig) mediaText(op MediaOp) string {
	text := mediaNames[op.Kind]
	if op.ID != (MediaID{}) {
		text += fmt.Sprintf(" %s's %d", r.names[op.ID.Peer], op.ID.ID)
	}
	switch op.Kind {
	case MediaPauseProducer, MediaPauseConsumer:
		text += fmt.Sprint(" ", op.Paused)
	case MediaSetPreferredProfile:
		text += " " + string(op.Profile)
	}
	return text
}

// take returns what has happened since it was called.
func (r *serverRig) take() []string {
	said := r.said
	r.said = nil
	return said
}

// forget drops what has happened.
func (r *serverRig) forget() *serverRig {
	r.said = nil
	return r
}

// end disconnects everybody and answers what is open: nothing is left.
func (r *serverRig) end() {
	for id := range r.names {
		r.do(r.Disconnect(r.now, id))
	}
	r.forget()
	r.answerAll(nullResult)
	require.Empty(r.t, r.said, "told to nobody")
	requireNobodyLeft(r.t, r.ServerMachine)
}

// heardShort is a frame of Protoo as tables have it: without what all have.
func heardShort(data []byte) string {
	text := string(sceneHears(data).Data)
	for _, common := range []string{
		`,"method":"mediasoup-notification","notification":true`, `"notification":true,`, `,"target":"peer"`,
		`,"response":true`,
	} {
		text = strings.ReplaceAll(text, common, "")
	}
	return text
}
