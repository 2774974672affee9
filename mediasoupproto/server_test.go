package mediasoupproto

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A guest is a client's end of a server's connection, which speaks as scripts do.
type guest struct{ *script.Line }

func visit(t *testing.T, s *Server) guest { return visitIn(t, t.Context(), s) }

func visitIn(t *testing.T, ctx context.Context, s *Server) guest {
	return guest{script.Serve(t, ctx, s.Serve)}
}

// says writes messages as scripts have them, in the framing of [Protoo].
func (g guest) says(texts ...string) guest {
	g.TB.Helper()
	for _, text := range texts {
		g.Say(string(sceneSays(Protoo, script.Message{Data: []byte(text)}).Data))
	}
	return g
}

// hears demands messages as tables have them.
func (g guest) hears(lines ...string) guest {
	g.TB.Helper()
	for _, want := range lines {
		_, got, err := g.Read(nil)
		require.NoError(g.TB, err, want)
		require.Equal(g.TB, want, heardShort(got))
	}
	return g
}

// enters joins by a name and skips the answer.
func (g guest) enters(name string) guest {
	g.TB.Helper()
	g.says(fmt.Sprintf(`join#1 {"peerName":%q,"rtpCapabilities":@caps}`, name))
	_, got, err := g.Read(nil)
	require.NoError(g.TB, err)
	require.Contains(g.TB, string(got), `"peers"`)
	return g
}

// skips reads messages and does not look at them.
func (g guest) skips(n int) guest {
	g.TB.Helper()
	for range n {
		_, _, err := g.Read(nil)
		require.NoError(g.TB, err)
	}
	return g
}

// connectMedia has the second client receive what the first one sends. The requests wait for each
// other, as transports do for the media.
func connectMedia(sender, receiver guest) {
	sender.skips(1) // newPeer
	sender.says(`createTransport#2 {"id":1}`).skips(1).says(produceAudio).skips(1)
	receiver.skips(1) // newConsumer
	receiver.says(`createTransport#2 {"id":1}`).skips(1)
	receiver.says(`enableConsumer#3 {"id":10000001,"transportId":1}`).skips(1)
}

// closeServer closes a server whose clients have stopped reading, and demands that it has
// forgotten everybody.
func closeServer(t *testing.T, s *Server) {
	t.Helper()
	require.NoError(t, s.Close())
	synctest.Wait()
	requireServerEmpty(t, s)
}

func onlySession(t *testing.T, s *Server) *ServerSession {
	t.Helper()
	all := slices.Collect(s.Sessions())
	require.Len(t, all, 1)
	return all[0]
}

func TestHooksSayWhatARefusedClientHears(t *testing.T) {
	t.Parallel()
	mine := &Error{Code: 402, Reason: "pay first"}
	bug := errors.New("a secret of the store")
	const (
		join          = `join#5 {"peerName":"x","rtpCapabilities":@caps}`
		payFirst      = `{"errorCode":402,"errorReason":"pay first","id":5}`
		internal      = `{"errorCode":500,"errorReason":"Error: internal error","id":5}`
		unknownApp    = `{"errorCode":400,"errorReason":"unknown request method \"app-x\"","id":5}`
		notAuthorised = `{"errorCode":403,"errorReason":"not authorised","id":5}`
	)
	for name, tt := range map[string]struct {
		hook, says string
		err        error
		want       string
		logged     bool
	}{
		"nobody is asked":        {"", join, nil, notAuthorised, false},
		"Authenticate":           {"join", join, mine, payFirst, false},
		"Authenticate, wrapped":  {"join", join, fmt.Errorf("x: %w", mine), payFirst, false},
		"Authenticate, a bug":    {"join", join, bug, notAuthorised, true},
		"Request":                {"request", `createTransport#5 {"id":1}`, mine, payFirst, false},
		"Request, a bug":         {"request", `createTransport#5 {"id":1}`, bug, notAuthorised, true},
		"no Message":             {"", `app-x#5 {}`, nil, unknownApp, false},
		"Message":                {"message", `app-x#5 {}`, mine, payFirst, false},
		"Message, a bug":         {"message", `app-x#5 {}`, bug, internal, true},
		"Message, a bad result":  {"result", `app-x#5 {}`, nil, internal, true},
		"Message, a deep result": {"deep", `app-x#5 {}`, nil, internal, true},
		"Authenticate, no UTF-8": {"join", join, &Error{Reason: "\xff"}, notAuthorised, true},
		"Authenticate, no error": {"join", join, (*Error)(nil), notAuthorised, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				opts := &ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil)), AllowAll: tt.hook == "request"}
				switch tt.hook {
				case "join":
					opts.Authenticate = func(context.Context, *ServerSession, *Join) error { return tt.err }
				case "request":
					opts.AuthorizeRequest = func(context.Context, *ServerSession, Message) error { return tt.err }
				case "message", "result", "deep":
					result := map[string]string{"result": "{", "deep": strings.Repeat("[", 64) + strings.Repeat("]", 64)}[tt.hook]
					opts.Message = func(context.Context, *ServerSession, *Application) (json.RawMessage, error) {
						return json.RawMessage(result), tt.err
					}
				}
				s := NewServer(opts)
				g := visit(t, s)
				if tt.hook == "request" {
					g.enters("x")
				}
				g.says(tt.says).hears(tt.want)
				require.Equal(t, tt.logged, log.Len() > 0, log.String())
				require.NotContains(t, tt.want, "secret")
				g.Drain()
				closeServer(t, s)
			})
		})
	}
}

func TestHooksKnowWhoTheyAreAbout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		note := func(hook string, ctx context.Context, sess *ServerSession) {
			p, ok := sess.Peer()
			require.True(t, ok)
			state, _ := sess.State()
			heard = append(heard, fmt.Sprintf(
				"%s %d %s %s/%s %v", hook, sess.ID(), state, p.Room, p.PeerName, ctx.Value(sceneKey{}),
			))
		}
		s := NewServer(&ServerOptions{
			Connection: func(context.Context) (Connection, error) { return Connection{Room: "r", PeerName: "ann"}, nil },
			Authenticate: func(ctx context.Context, sess *ServerSession, m *Join) error {
				note("join of "+m.PeerName, ctx, sess)
				return nil
			},
			AuthorizeRequest: func(ctx context.Context, sess *ServerSession, m Message) error {
				note(name(m), ctx, sess)
				return nil
			},
			Message: func(ctx context.Context, sess *ServerSession, m *Application) (json.RawMessage, error) {
				note(m.Method, ctx, sess)
				return nil, nil
			},
			OnJoined: func(ctx context.Context, sess *ServerSession) { note("joined", ctx, sess) },
		})
		g := visitIn(t, context.WithValue(t.Context(), sceneKey{}, "a value"), s)
		g.says(`app-x {}`).enters("ann").says(`createTransport#2 {"id":1}`).skips(1)
		g.says(`leave`, `join#3 {"peerName":"ann","rtpCapabilities":@caps}`).skips(1)
		g.says(`join#4 {"peerName":"ann","rtpCapabilities":@caps}`).skips(1)
		synctest.Wait()
		require.Equal(t, []string{
			"app-x 1 new r/ann a value", "join of ann 1 joining r/ann a value", "joined 1 joined r/ann a value",
			"createTransport 1 joined r/ann a value", "join of ann 1 joining r/ann a value", "joined 1 joined r/ann a value",
		}, heard)
		require.Same(t, onlySession(t, s), s.Session("r", "ann"))
		require.Nil(t, s.Session("", "ann"))
		require.Nil(t, s.Session("r", "ben"))
		g.Drain()
		closeServer(t, s)
	})
}

func TestAConnectionThatIsNotWantedIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("no such room")
		s := NewServer(&ServerOptions{
			AllowAll:   true,
			Connection: func(context.Context) (Connection, error) { return Connection{}, why },
		})
		g := visit(t, s)
		g.Closed(transport.StatusPolicyViolation)
		require.ErrorIs(t, <-g.Served, why)
		closeServer(t, s)
	})
}

func TestTheApplicationActsOnPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, ServerConfig: ServerConfig{NewID: sceneIDs()}})
		ann, ben := visit(t, s).enters("ann"), visit(t, s).enters("ben")
		connectMedia(ann, ben)
		producer := MediaID{s.Session("", "ann").ID(), 1}
		consumer := MediaID{s.Session("", "ben").ID(), 10_000_001}
		data := json.RawMessage("[7]")

		require.NoError(t, s.PauseProducer(producer, data))
		ann.hears(`{"data":{"appData":[7],"id":1,"method":"producerPaused","peerName":"ann"}}`)
		ben.hears(`{"data":{"id":10000001,"method":"consumerPaused","peerName":"ann"}}`)
		require.NoError(t, s.ResumeProducer(producer, nil))
		ann.hears(`{"data":{"id":1,"method":"producerResumed","peerName":"ann"}}`)
		ben.hears(`{"data":{"id":10000001,"method":"consumerResumed","peerName":"ann"}}`)
		require.NoError(t, s.PauseConsumer(consumer, data))
		ben.hears(`{"data":{"appData":[7],"id":10000001,"method":"consumerPaused","peerName":"ann"}}`)
		require.NoError(t, s.ResumeConsumer(consumer, data))
		ben.hears(`{"data":{"appData":[7],"id":10000001,"method":"consumerResumed","peerName":"ann"}}`)
		require.NoError(t, s.SetPreferredProfile(consumer, ProfileHigh))
		ben.hears(`{"data":{"id":10000001,"method":"consumerPreferredProfileSet","peerName":"ann","profile":"high"}}`)
		require.NoError(t, s.RequestKeyFrame(consumer))
		require.NoError(t, s.CloseProducer(producer, data))
		ann.hears(`{"data":{"appData":[7],"id":1,"method":"producerClosed","peerName":"ann"}}`)
		ben.hears(`{"data":{"id":10000001,"method":"consumerClosed","peerName":"ann"}}`)
		require.NoError(t, s.CloseTransport(producer, data)) // which has the same number
		ann.hears(`{"data":{"appData":[7],"id":1,"method":"transportClosed"}}`)

		require.NoError(t, s.SendRoom("", &Application{Method: "app-x", Data: data}))
		require.NoError(t, s.Session("", "ben").Send(&Application{Method: "app-y"}))
		ann.hears(`{"data":[7],"method":"app-x","notification":true}`)
		ben.hears(`{"data":[7],"method":"app-x","notification":true}`, `{"data":{},"method":"app-y","notification":true}`)
		require.NoError(t, s.Session("", "ann").ClosePeer(data))
		ann.hears(`{"data":{"appData":[7],"method":"closed"}}`)
		ben.hears(`{"data":{"appData":[7],"method":"peerClosed","name":"ann"}}`)
		require.NoError(t, s.CloseRoom(""))
		ben.hears(`{"data":{"method":"closed"}}`)

		for what, err := range map[string]error{
			"PauseProducer": s.PauseProducer(producer, nil), "ResumeProducer": s.ResumeProducer(producer, nil),
			"CloseProducer": s.CloseProducer(producer, nil), "PauseConsumer": s.PauseConsumer(consumer, nil),
			"ResumeConsumer": s.ResumeConsumer(consumer, nil), "CloseTransport": s.CloseTransport(producer, nil),
			"SetPreferredProfile": s.SetPreferredProfile(consumer, ProfileLow), "RequestKeyFrame": s.RequestKeyFrame(consumer),
			"CloseRoom": s.CloseRoom(""), "ClosePeer": slices.Collect(s.Sessions())[0].ClosePeer(nil),
			"Send": s.Send(99, &Application{Method: "app-x"}),
		} {
			require.ErrorIs(t, err, ErrUnknownPeer, what)
		}
		ann.Drain()
		ben.Drain()
		closeServer(t, s)
		require.ErrorIs(t, s.Send(1, &Application{Method: "app-x"}), ErrUnknownPeer)
	})
}

func TestTheApplicationCannotSayWhatCannotBeTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, ServerConfig: ServerConfig{NewID: sceneIDs()}})
		g := visit(t, s).enters("ann").says(`createTransport#2 {"id":1}`).skips(1)
		id := onlySession(t, s).ID()
		for _, bad := range []string{"{", "\"\xff\"", strings.Repeat("[", 60) + strings.Repeat("]", 60), "1 2"} {
			data := json.RawMessage(bad)
			for what, err := range map[string]error{
				"CloseTransport": s.CloseTransport(MediaID{id, 1}, data), "PauseProducer": s.PauseProducer(MediaID{id, 1}, data),
				"ClosePeer": onlySession(t, s).ClosePeer(data),
				"Send":      s.Send(id, &Closed{AppData: data}), "SendRoom": s.SendRoom("", &Closed{AppData: data}),
			} {
				var invalid *ValidationError
				require.ErrorAs(t, err, &invalid, "%s: %s", what, bad)
			}
		}
		g.says(`queryRoom#3`).hears(cannedRoom)
		g.Drain()
		closeServer(t, s)
	})
}

// A blockingEngine holds up whatever its rooms are asked for until it is released.
type blockingEngine struct {
	NullEngine
	mu      sync.Mutex
	release map[string]chan struct{} // by room; those without one are not held up
	closed  []string
}

type blockingRoom struct {
	MediaRoom
	engine *blockingEngine
	name   string
}

func (e *blockingEngine) OpenRoom(
	ctx context.Context, room string, caps *RTPCapabilities, events MediaEvents,
) (MediaRoom, error) {
	r, err := e.NullEngine.OpenRoom(ctx, room, caps, events)
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.closed = append(e.closed, room)
	})
	return &blockingRoom{r, e, room}, err
}

func (r *blockingRoom) CreateTransport(id MediaID, m *CreateTransport) (*CreateTransportResult, error) {
	if c := r.engine.release[r.name]; c != nil {
		<-c
	}
	return r.MediaRoom.CreateTransport(id, m)
}

func TestAnEngineThatBlocksHoldsUpNobodysMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := &blockingEngine{release: map[string]chan struct{}{"r": make(chan struct{})}}
		connection := func(ctx context.Context) (Connection, error) {
			room, _ := ctx.Value(sceneKey{}).(string)
			return Connection{Room: room}, nil
		}
		s := NewServer(&ServerOptions{AllowAll: true, Media: engine, Connection: connection})
		in := func(room string) guest { return visitIn(t, context.WithValue(t.Context(), sceneKey{}, room), s) }
		ann, ben, cat := in("r").enters("ann"), in("r").enters("ben"), in("q").enters("cat")
		ann.says(`createTransport#2 {"id":1}`)
		synctest.Wait()
		begin := time.Now()
		ann.hears(`{"data":{"consumers":[],"method":"newPeer","name":"ben"}}`)
		ann.says(`app-x#3 {}`).hears(`{"errorCode":400,"errorReason":"unknown request method \"app-x\"","id":3}`)
		ben.says(`leave`)
		ann.hears(`{"data":{"method":"peerClosed","name":"ben"}}`)
		ben.says(`join#2 {"peerName":"ben","rtpCapabilities":@caps}`).skips(1)
		cat.says(`createTransport#2 {"id":1}`).skips(1) // the media of other rooms go on
		require.Zero(t, time.Since(begin))
		// Who goes away is not held up, either.
		require.NoError(t, ben.Close(transport.StatusNormal, ""))
		require.NoError(t, <-ben.Served)
		ann.skips(2) // newPeer and peerClosed
		close(engine.release["r"])
		_, got, err := ann.Read(nil)
		require.NoError(t, err)
		require.Contains(t, string(got), `"id":2,"ok":true`)
		ann.Drain()
		cat.Drain()
		closeServer(t, s)
		slices.Sort(engine.closed)
		require.Equal(t, []string{"q", "r"}, engine.closed, "the contexts of the rooms end")
	})
}

// eventEngine keeps the events of its rooms for a test.
type eventEngine struct {
	NullEngine
	events MediaEvents
}

func (e *eventEngine) OpenRoom(
	ctx context.Context, room string, caps *RTPCapabilities, events MediaEvents,
) (MediaRoom, error) {
	e.events = events
	return e.NullEngine.OpenRoom(ctx, room, caps, events)
}

func TestClientsHearOfWhatTheMediaSayByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := new(eventEngine)
		s := NewServer(&ServerOptions{AllowAll: true, Media: engine, ServerConfig: ServerConfig{NewID: sceneIDs()}})
		ann, ben := visit(t, s).enters("ann"), visit(t, s).enters("ben")
		connectMedia(ann, ben)
		consumer := MediaID{s.Session("", "ben").ID(), 10_000_001}
		engine.events.EffectiveProfile(consumer, ProfileDefault)
		engine.events.EffectiveProfile(MediaID{99, 1}, ProfileDefault)
		ben.hears(`{"data":{"id":10000001,"method":"consumerEffectiveProfileChanged","peerName":"ann","profile":"default"}}`)
		engine.events.TransportClosed(MediaID{99, 1}, errors.New("lost"))
		engine.events.TransportClosed(MediaID{s.Session("", "ann").ID(), 1}, errors.New("lost"))
		ann.hears(`{"data":{"id":1,"method":"transportClosed"}}`)
		ben.hears(`{"data":{"id":10000001,"method":"consumerClosed","peerName":"ann"}}`)
		ann.Drain()
		ben.Drain()
		closeServer(t, s)
		engine.events.EffectiveProfile(consumer, ProfileDefault)
		engine.events.TransportClosed(consumer, nil)
		requireServerEmpty(t, s)
	})
}
