package mediasouppion_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A forger is the server's end of a connection whose answers are not the server's.
type forger struct {
	transport.Conn
	forge func(request mediasoupproto.Message, answer *mediasoupproto.Response)

	mu       sync.Mutex
	requests map[mediasoupproto.ID]mediasoupproto.Message
}

// forge has the answers to all bots of the world forged. One whose id is taken away is not
// given.
func (w *botWorld) forge(f func(request mediasoupproto.Message, answer *mediasoupproto.Response)) {
	w.serve = func(string) func(context.Context, transport.Conn) error {
		return func(ctx context.Context, conn transport.Conn) error {
			return w.server.Serve(ctx, &forger{
				Conn: conn, forge: f, requests: make(map[mediasoupproto.ID]mediasoupproto.Message),
			})
		}
	}
}

// forgeResult has the results of a type of request replaced.
func forgeResult[R mediasoupproto.Message](w *botWorld, result string) {
	w.forge(func(request mediasoupproto.Message, answer *mediasoupproto.Response) {
		if _, ok := request.(R); ok {
			answer.Result = json.RawMessage(result)
		}
	})
}

func requestID(m mediasoupproto.Message) mediasoupproto.ID {
	switch m := m.(type) {
	case *mediasoupproto.QueryRoom:
		return m.RequestID
	case *mediasoupproto.CreateTransport:
		return m.RequestID
	case *mediasoupproto.RestartTransport:
		return m.RequestID
	case *mediasoupproto.CreateProducer:
		return m.RequestID
	case *mediasoupproto.EnableConsumer:
		return m.RequestID
	}
	return ""
}

func (f *forger) Read(buf []byte) (transport.MessageType, []byte, error) {
	typ, msg, err := f.Conn.Read(buf)
	if err == nil {
		if m, err := mediasoupproto.Decode(msg); err == nil {
			f.mu.Lock()
			f.requests[requestID(m)] = m
			f.mu.Unlock()
		}
	}
	return typ, msg, err
}

func (f *forger) Write(typ transport.MessageType, msg []byte) error {
	m, err := mediasoupproto.Decode(msg)
	if err != nil {
		return err
	}
	if answer, ok := m.(*mediasoupproto.Response); ok && answer.Error == nil {
		f.mu.Lock()
		request := f.requests[answer.RequestID]
		f.mu.Unlock()
		f.forge(request, answer)
		if answer.RequestID == "" {
			return nil
		}
		if msg, err = mediasoupproto.Encode(answer); err != nil {
			return err
		}
	}
	return f.Conn.Write(typ, msg)
}

// newSilentWorld makes a world whose server moves no media.
func newSilentWorld(t *testing.T) *botWorld {
	t.Helper()
	return newWorldOf(t, mediasoupproto.ServerOptions{Media: &mediasoupproto.NullEngine{
		Fingerprints: []mediasoupproto.Fingerprint{{Algorithm: "sha-256", Value: fingerprint}},
	}})
}

// fingerprint is that of nobody's certificate.
var fingerprint = strings.Repeat("AB:", 31) + "AB"

// transportAnswer returns an answer to createTransport, with some of its members replaced.
func transportAnswer(t *testing.T, replace map[string]any) string {
	t.Helper()
	answer := map[string]any{
		"iceParameters": map[string]any{
			"iceLite": true, "usernameFragment": "yxw6np7945mb2aa5", "password": "wz28wz28wz28wz28wz28wz28wz28wz28",
		},
		"iceCandidates": []any{discardCandidate()},
		"dtlsParameters": map[string]any{"role": "client", "fingerprints": []any{
			map[string]any{"algorithm": "sha-256", "value": fingerprint},
		}},
	}
	for name, value := range replace {
		answer[name] = value
		if value == nil {
			delete(answer, name)
		}
	}
	b, err := json.Marshal(answer)
	require.NoError(t, err)
	return string(b)
}

// discardCandidate is a candidate where nobody answers.
func discardCandidate() map[string]any {
	return map[string]any{
		"family": "ipv4", "foundation": "udpcandidate", "ip": "127.0.0.1", "port": 9,
		"priority": 1078862079, "protocol": "udp", "type": "host",
	}
}

func TestUselessAnswerToCreateTransportIsAnError(t *testing.T) {
	t.Parallel()
	ice := func(ufrag, password string) map[string]any {
		return map[string]any{"iceParameters": map[string]any{"usernameFragment": ufrag, "password": password}}
	}
	candidate := func(name string, value any) map[string]any {
		c := discardCandidate()
		c[name] = value
		return map[string]any{"iceCandidates": []any{c}}
	}
	dtls := func(role, algorithm, value string) map[string]any {
		return map[string]any{"dtlsParameters": map[string]any{
			"role": role, "fingerprints": []any{map[string]any{"algorithm": algorithm, "value": value}},
		}}
	}
	const password = "wz28wz28wz28wz28wz28wz28wz28wz28"
	for name, replace := range map[string]map[string]any{
		"nothing":                 {"iceParameters": nil, "iceCandidates": nil, "dtlsParameters": nil},
		"no ICE parameters":       {"iceParameters": nil},
		"no user name":            ice("", password),
		"short password":          ice("yxw6", "wz28"),
		"password of two lines":   ice("yxw6np79", password+"\r\na=inactive"),
		"user name of two lines":  ice("yxw6np79\r\na=x", password),
		"endless user name":       ice(strings.Repeat("x", 257), password),
		"no candidates":           {"iceCandidates": nil},
		"empty candidates":        {"iceCandidates": []any{}},
		"only TCP":                candidate("protocol", "tcp"),
		"no address":              candidate("ip", "somewhere.example"),
		"address of two lines":    candidate("ip", "127.0.0.1\r\na=x"),
		"address with a zone":     candidate("ip", "fe80::1%eth0"),
		"no port":                 candidate("port", 0),
		"relayed":                 candidate("type", "relay"),
		"foundation of two words": candidate("foundation", "a b"),
		"no DTLS parameters":      {"dtlsParameters": nil},
		"DTLS server":             dtls("server", "sha-256", fingerprint),
		"unknown DTLS role":       dtls("both", "sha-256", fingerprint),
		"weak fingerprint":        dtls("client", "sha-1", strings.Repeat("AB:", 19)+"AB"),
		"short fingerprint":       dtls("client", "sha-256", "AB:CD"),
		"garbage fingerprint":     dtls("client", "sha-256", strings.Repeat("XY:", 31)+"XY"),
		"fingerprint of 2 lines":  dtls("client", "sha-256", fingerprint+"\r\na=x"),
		"plain RTP": {
			"iceParameters": nil, "iceCandidates": nil, "dtlsParameters": nil,
			"plainRtpParameters": map[string]any{"ip": "127.0.0.1", "port": 9},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSilentWorld(t)
			b := w.join("b", plan{})
			forgeResult[*mediasoupproto.CreateTransport](w, transportAnswer(t, replace))
			a := w.join("a", plan{manual: true})
			_, err := a.Publish(a.patience(), piontest.Sound(t, "s"), nil)
			require.ErrorIs(t, err, mediasouppion.ErrParameters)
			heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.CloseTransport])
			b.publish(piontest.Sound(t, "s"), nil)
			_, err = a.Consume(a.patience(), heard.Next(t, "consumer", a.offered), nil)
			require.ErrorIs(t, err, mediasouppion.ErrParameters)
			heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.CloseTransport])
			require.NoError(t, a.Close())
		})
	}
}

func TestPeerIsClosedWhileNothingAnswers(t *testing.T) {
	t.Parallel()
	w := newSilentWorld(t)
	b := w.join("b", plan{})
	b.publish(piontest.Sound(t, "s"), nil)
	forgeResult[*mediasoupproto.CreateTransport](w, transportAnswer(t, nil))
	a := w.join("a", plan{manual: true})
	pr := a.publish(piontest.Sound(t, "s"), nil)
	info := heard.Next(t, "consumer", a.offered)
	done := heard.New[error]()
	piontest.Run(t, func(context.Context) error {
		_, err := a.Consume(t.Context(), info, nil)
		done.Add(err)
		return nil
	})
	heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.UpdateTransport])
	requireNone[*mediasoupproto.EnableConsumer](t, a.line().Said)
	// Neither the second producer nor the restart gets anywhere before ICE has begun, or ever.
	require.NoError(t, a.Close())
	require.ErrorIs(t, heard.Next(t, "end of the wait", done), mediasouppion.ErrClosed)
	<-pr.Done()
}

func TestServerOfAnotherCertificateIsNotTrusted(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	w.forge(func(request mediasoupproto.Message, answer *mediasoupproto.Response) {
		if _, ok := request.(*mediasoupproto.CreateTransport); !ok {
			return
		}
		var result map[string]any
		if json.Unmarshal(answer.Result, &result) != nil {
			return
		}
		for _, f := range result["dtlsParameters"].(map[string]any)["fingerprints"].([]any) {
			f.(map[string]any)["value"] = fingerprint
		}
		answer.Result, _ = json.Marshal(result)
	})
	a := w.join("a", plan{opts: mediasouppion.Options{ConnectTimeout: 2 * time.Second}})
	pr := a.publish(piontest.Sound(t, "s"), nil)
	<-pr.Done()
	require.ErrorIs(t, pr.Err(), mediasouppion.ErrFailed)
}

func TestUselessAnswerToARestartEndsTheTransport(t *testing.T) {
	t.Parallel()
	for _, result := range []string{`{}`, `{"iceParameters":{"usernameFragment":"x\r\ny","password":""}}`} {
		w := newBotWorld(t)
		forgeResult[*mediasoupproto.RestartTransport](w, result)
		a, b := w.join("a", plan{}), w.join("b", plan{})
		pr := a.publish(piontest.Sound(t, "s"), nil)
		b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
		require.Error(t, a.Restart(a.patience()))
		<-pr.Done()
		require.Error(t, pr.Err())
		b.flows.RequireOnly(t)
		a.publish(piontest.Sound(t, "s"), nil)
		b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	}
}

func TestRoomThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	const opus = `{"kind":"audio","name":"opus","clockRate":48000,"channels":2,"preferredPayloadType":100}`
	const rtx = `{"kind":"video","name":"rtx","clockRate":90000,"preferredPayloadType":101}`
	opusBut := func(old, changed string) string { return strings.Replace(opus, old, changed, 1) }
	opusAnd := func(members string) string { return strings.TrimSuffix(opus, "}") + "," + members + "}" }
	room := func(codecs string) string {
		return `{"rtpCapabilities":{"codecs":[` + codecs + `],"headerExtensions":[],"fecMechanisms":[]}}`
	}
	for name, c := range map[string]struct {
		room string
		err  error
	}{
		"nothing":                 {`{}`, mediasouppion.ErrParameters},
		"name of two lines":       {room(opusBut(`"opus"`, `"opus\r\na=x"`)), mediasouppion.ErrParameters},
		"two of a payload type":   {room(opus + "," + opusBut("48000", "16000")), mediasouppion.ErrParameters},
		"payload type 128":        {room(opusBut("100", "128")), mediasouppion.ErrParameters},
		"other kind":              {room(opusBut("audio", "depth")), mediasouppion.ErrParameters},
		"no clock":                {room(opusBut("48000", "0")), mediasouppion.ErrParameters},
		"rtx of nothing":          {room(opus + "," + rtx), mediasouppion.ErrParameters},
		"parameters of two lines": {room(opusAnd(`"parameters":{"x":"1\r\na=x"}`)), mediasouppion.ErrParameters},
		"feedback of two lines": {
			room(opusAnd(`"rtcpFeedback":[{"type":"nack\r\na=x"}]`)), mediasouppion.ErrParameters,
		},
		"mandatory codec": {
			strings.TrimSuffix(room(opus), "}") + `,"mandatoryCodecPayloadTypes":[101]}`,
			mediasoupproto.ErrMandatoryCodec,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSilentWorld(t)
			forgeResult[*mediasoupproto.QueryRoom](w, c.room)
			line := w.dial("a")
			client, err := mediasoupproto.Connect(t.Context(), line, nil)
			require.NoError(t, err)
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), heard.Patience)
			defer cancel()
			_, _, err = mediasouppion.Join(ctx, client, &mediasoupproto.Join{PeerName: "a"}, nil)
			require.ErrorIs(t, err, c.err)
			requireNone[*mediasoupproto.Join](t, line.Said)
		})
	}
}

func TestConsumerThatCannotBeReceivedIsRefused(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{manual: true})
	a.publish(picture(t), nil)
	good := heard.Next(t, "consumer", b.offered)
	change := func(f func(*mediasoupproto.ConsumerInfo)) *mediasoupproto.ConsumerInfo {
		text, err := json.Marshal(good)
		require.NoError(t, err)
		info := new(mediasoupproto.ConsumerInfo)
		require.NoError(t, json.Unmarshal(text, info))
		f(info)
		return info
	}
	for name, c := range map[string]struct {
		info *mediasoupproto.ConsumerInfo
		err  error
	}{
		"nothing": {nil, mediasouppion.ErrParameters},
		"no parameters": {
			change(func(i *mediasoupproto.ConsumerInfo) { i.RTPParameters = nil }), mediasouppion.ErrParameters,
		},
		"no codecs": {
			change(func(i *mediasoupproto.ConsumerInfo) { i.RTPParameters.Codecs = nil }),
			mediasoupproto.ErrUnsupportedCodecs,
		},
		"no payload type": {
			change(func(i *mediasoupproto.ConsumerInfo) { i.RTPParameters.Codecs[0].PayloadType = nil }),
			mediasoupproto.ErrUnsupportedCodecs,
		},
		"foreign codec": {
			change(func(i *mediasoupproto.ConsumerInfo) { *i.RTPParameters.Codecs[0].PayloadType = 33 }),
			mediasoupproto.ErrUnsupportedCodecs,
		},
		"rtx first": {
			change(func(i *mediasoupproto.ConsumerInfo) { i.RTPParameters.Codecs = i.RTPParameters.Codecs[1:] }),
			mediasoupproto.ErrUnsupportedCodecs,
		},
		"other kind": {
			change(func(i *mediasoupproto.ConsumerInfo) { i.Kind = mediasoupproto.Audio }),
			mediasoupproto.ErrUnsupportedCodecs,
		},
		"no encoding": {
			change(func(i *mediasoupproto.ConsumerInfo) { i.RTPParameters.Encodings = nil }),
			mediasouppion.ErrParameters,
		},
		"no SSRC": {
			change(func(i *mediasoupproto.ConsumerInfo) { i.RTPParameters.Encodings[0].SSRC = 0 }),
			mediasouppion.ErrParameters,
		},
		"one SSRC for all": {
			change(func(i *mediasoupproto.ConsumerInfo) {
				i.RTPParameters.Encodings[0].RTX = &mediasoupproto.RTX{SSRC: i.RTPParameters.Encodings[0].SSRC}
			}), mediasouppion.ErrParameters,
		},
		"unknown to the server": {
			change(func(i *mediasoupproto.ConsumerInfo) { i.ID = 1<<32 - 1 }), mediasoupproto.ErrConsumerNotFound,
		},
	} {
		_, err := b.Consume(b.patience(), c.info, nil)
		require.ErrorIs(t, err, c.err, name)
	}
	_, err := b.Consume(b.patience(), good, nil)
	require.NoError(t, err)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	twin := change(func(i *mediasoupproto.ConsumerInfo) { i.ID++ })
	_, err = b.Consume(b.patience(), twin, nil)
	require.ErrorIs(t, err, mediasouppion.ErrParameters, "the SSRCs of another one")
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
}

func TestWhatTheServerDoesNotAnswerIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	b := w.join("b", plan{})
	b.publish(piontest.Sound(t, "s"), nil)
	w.forge(func(request mediasoupproto.Message, answer *mediasoupproto.Response) {
		switch request.(type) {
		case *mediasoupproto.CreateProducer, *mediasoupproto.EnableConsumer:
			answer.RequestID = ""
		}
	})
	a := w.join("a", plan{manual: true, callTimeout: time.Second})
	_, err := a.Publish(a.patience(), picture(t), nil)
	require.ErrorIs(t, err, mediasoupproto.ErrCallTimeout)
	m := heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.CreateProducer])
	heard.AwaitOf(t, a.line().Said, func(c *mediasoupproto.CloseProducer) bool { return c.ID == m.ID })
	heard.AwaitOf(t, b.line().Heard, heard.Any[*mediasoupproto.ConsumerClosed])

	info := heard.Next(t, "consumer", a.offered)
	_, err = a.Consume(a.patience(), info, nil)
	require.ErrorIs(t, err, mediasoupproto.ErrCallTimeout)
	heard.AwaitOf(t, a.line().Said, func(m *mediasoupproto.PauseConsumer) bool { return m.ID == info.ID })
	_, err = a.Consume(a.patience(), info, nil) // the server has it: it needs no answer
	require.NoError(t, err)
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
}

func TestConnectionThatIsLostInTheMiddleFailsThePublicationAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	b := w.join("b", plan{})
	a := w.join("a", plan{redial: true})
	lasting := a.publish(piontest.Sound(t, "s"), nil)
	b.requireConsumer(mediasoupproto.Audio)
	line := a.line()
	line.Drop(func(m mediasoupproto.Message) bool {
		create, ok := m.(*mediasoupproto.CreateProducer)
		if ok && create.Kind == mediasoupproto.Video {
			line.Cut()
		}
		return ok
	})
	_, err := a.Publish(a.patience(), picture(t), nil)
	require.ErrorIs(t, err, mediasoupproto.ErrConnectionLost)
	b.requireConsumer(mediasoupproto.Audio)
	require.NoError(t, lasting.Err())
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	a.publish(picture(t), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
}

func TestNotificationsAboutNothingChangeNothing(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pr := a.publish(piontest.Sound(t, "s"), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	for _, m := range []mediasoupproto.Message{
		&mediasoupproto.TransportClosed{ID: 1},
		&mediasoupproto.ProducerClosed{ID: 1, PeerName: "sender"},
		&mediasoupproto.ProducerPaused{ID: 1, PeerName: "sender"},
		&mediasoupproto.ProducerResumed{ID: 1, PeerName: "sender"},
		&mediasoupproto.ConsumerClosed{ID: 1, PeerName: "receiver"},
		&mediasoupproto.ConsumerPaused{ID: 1, PeerName: "receiver"},
		&mediasoupproto.ConsumerResumed{ID: 1, PeerName: "receiver"},
		&mediasoupproto.ConsumerPreferredProfileSet{ID: 1, PeerName: "receiver", Profile: "low"},
		&mediasoupproto.ConsumerEffectiveProfileChanged{ID: 1, PeerName: "receiver", Profile: "low"},
		&mediasoupproto.PeerClosed{Name: "nobody"},
	} {
		a.inject(m)
	}
	a.inject(&mediasoupproto.Application{Method: "last"})
	heard.AwaitOf(t, a.messages, heard.Any[*mediasoupproto.Application])
	require.NoError(t, pr.Err())
	require.False(t, pr.Paused())
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	b.flows.RequireOnly(t, flow(a, mediasoupproto.Audio))
}

func TestConsumersWithoutEndOnATransportThatGetsNowhereEndIt(t *testing.T) {
	t.Parallel()
	w := newSilentWorld(t)
	sender := w.join("sender", plan{})
	a := w.join("a", plan{manual: true})
	sender.publish(piontest.Sound(t, "s"), nil)
	good := heard.Next(t, "consumer", a.offered)
	another := func(id uint32) *mediasoupproto.ConsumerInfo {
		info, parameters := *good, *good.RTPParameters
		parameters.Encodings = []mediasoupproto.Encoding{{SSRC: id}}
		info.ID, info.RTPParameters = id, &parameters
		return &info
	}
	ended := heard.New[error]()
	for _, info := range []*mediasoupproto.ConsumerInfo{good, another(1)} { // the second one waits for ICE
		piontest.Run(t, func(context.Context) error {
			_, err := a.Consume(t.Context(), info, nil)
			ended.Add(err)
			return nil
		})
	}
	heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.UpdateTransport])
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for id := uint32(2); ; id++ {
		_, err := a.Consume(gone, another(id), nil)
		require.Error(t, err)
		if err, ok := ended.Take(heard.Any[error]); ok {
			require.ErrorIs(t, err, mediasoupproto.ErrFlood)
			return
		}
	}
}
