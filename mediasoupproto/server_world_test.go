package mediasoupproto

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// Capabilities and parameters that tests send, as JSON.
const (
	opusCapabilities = `{"codecs":[{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,` +
		`"preferredPayloadType":100}],"headerExtensions":[]}`
	bothCapabilities = `{"codecs":[{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,` +
		`"preferredPayloadType":100},{"kind":"video","name":"VP8","mimeType":"video/VP8","clockRate":90000,` +
		`"preferredPayloadType":101},{"kind":"video","name":"rtx","mimeType":"video/rtx","clockRate":90000,` +
		`"preferredPayloadType":102,"parameters":{"apt":101}}],"headerExtensions":[]}`
	noCapabilities = `{"codecs":[],"headerExtensions":[]}`
	fingerprints   = `{"role":"server","fingerprints":[{"algorithm":"sha-256","value":"AB:CD"}]}`
)

// opusParameters are those of a producer whose stream has the SSRC, and whose mid is the same.
func opusParameters(ssrc int) string {
	return fmt.Sprintf(`{"muxId":"%d","codecs":[{"name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,`+
		`"payloadType":109}],"encodings":[{"ssrc":%[1]d}],"rtcp":{"cname":"c"}}`, ssrc)
}

// vp8Parameters are those of a producer with a second stream for what got lost.
func vp8Parameters(ssrc int) string {
	return fmt.Sprintf(`{"muxId":"%d","codecs":[{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":120},`+
		`{"name":"rtx","mimeType":"video/rtx","clockRate":90000,"payloadType":121,"parameters":{"apt":120}}],`+
		`"encodings":[{"ssrc":%[1]d,"rtx":{"ssrc":%d}}],"rtcp":{"cname":"c"}}`, ssrc, ssrc+1)
}

var sceneMacro = regexp.MustCompile(`@(caps|opuscaps|nocaps|dtls|opus|vp8|deep|long)(?::(\d+))?`)

// expandScene writes out what scripts have in short.
func expandScene(text []byte) []byte {
	return sceneMacro.ReplaceAllFunc(text, func(macro []byte) []byte {
		part := sceneMacro.FindSubmatch(macro)
		n, _ := strconv.Atoi(string(part[2]))
		switch string(part[1]) {
		case "caps":
			return []byte(bothCapabilities)
		case "opuscaps":
			return []byte(opusCapabilities)
		case "nocaps":
			return []byte(noCapabilities)
		case "dtls":
			return []byte(fingerprints)
		case "opus":
			return []byte(opusParameters(n))
		case "vp8":
			return []byte(vp8Parameters(n))
		case "deep": // so many levels
			return []byte(strings.Repeat("[", n) + strings.Repeat("]", n))
		}
		return []byte(strings.Repeat("x", n))
	})
}

var sceneMessage = regexp.MustCompile(`^([A-Za-z-]+)(?:#(\S+))?(?: (.*))?$`)

// sceneSays returns the frame of a message that a script has in short: the method, # and the
// id of a request, and the members of the payload. Whatever begins otherwise is said as it
// stands. An application's messages are called app-something; their data follow.
func sceneSays(framing Framing, m script.Message) script.Message {
	m.Data = expandScene(m.Data)
	part := sceneMessage.FindSubmatch(m.Data)
	if part == nil || m.Binary {
		return m
	}
	name, id, data := string(part[1]), ID(part[2]), part[3]
	f := Frame{Kind: FrameNotification, Method: MethodNotification, ID: id}
	if id != "" {
		f.Kind, f.Method = FrameRequest, MethodRequest
	}
	def := registry[name]
	payload := fmt.Sprintf(`{"method":%q,"target":%q`, name, cmp.Or(def.target, TargetPeer))
	if def.kind == FrameNotification {
		payload += `,"notification":true`
		f.Kind, f.Method = FrameNotification, MethodNotification
	}
	if members := bytes.TrimPrefix(bytes.TrimSpace(data), []byte("{")); len(members) > 1 {
		payload += "," + string(members)
	} else {
		payload += "}"
	}
	switch {
	case name == "response":
		f = Frame{Kind: FrameResponse, ID: id}
		payload = "{}"
	case strings.HasPrefix(name, "app-"):
		f.Method, payload = name, string(data)
	}
	text, err := framing.AppendHead(nil, &f)
	if err != nil {
		panic(err)
	}
	m.Data = framing.AppendTail(append(text, payload...), &f)
	return m
}

// sceneHears is what scripts have of a frame: without the parameters of media, of which it
// says what there is.
func sceneHears(data []byte) script.Event {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return script.Event{Data: data}
	}
	shorten(v)
	short, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return script.Event{Data: short}
}

func shorten(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			shorten(x)
		}
	case map[string]any:
		for name, x := range v {
			text, _ := x.(string)
			switch {
			case name == "rtpParameters":
				v[name] = shortParameters(x)
			case name == "rtpCapabilities":
				v[name] = "of the room"
			case name == "iceCandidates", name == "fingerprints":
				v[name] = len(x.([]any))
			case len(text) > 200:
				v[name] = fmt.Sprintf("%d bytes", len(text))
			default:
				shorten(x)
			}
		}
	}
}

func shortParameters(x any) string {
	text, err := json.Marshal(x)
	if err != nil {
		panic(err)
	}
	var p RTPParameters
	if err := jsonx.Unmarshal(text, &p); err != nil {
		return err.Error()
	}
	var words []string
	for _, c := range p.Codecs {
		words = append(words, fmt.Sprint(c.Name, " ", *c.PayloadType))
	}
	for _, e := range p.Encodings {
		words = append(words, fmt.Sprint("ssrc ", e.SSRC))
		if e.RTX != nil {
			words = append(words, fmt.Sprint("rtx ", e.RTX.SSRC))
		}
	}
	return strings.Join(words, ", ")
}

// A serverScene is the config section of a script: the server's options, and what its hooks
// and its media do. A join says in its appData what becomes of it, see sceneJoin.
type serverScene struct {
	ServerConfig
	Framing   string            // protoo2 or typebody
	Ask       map[string]string // methods of requests that are refused, why; not nil: all are asked about
	Effective Profile           // what consumers get at once
	Fail      map[string]string // operations of the media that fail, with an *Error unless it is ""
	Message   int               // bytes of the largest
}

// A sceneJoin is what a join in a script is to become.
type sceneJoin struct {
	Refuse string
	Fail   bool
}

func readServerScene(t *testing.T, s *script.Script) (sc serverScene) {
	s.Config(t, &sc)
	return sc
}

func (sc serverScene) framing() Framing {
	switch sc.Framing {
	case "protoo2":
		return &protooFraming{two: true} // which counts on its own
	case "typebody":
		return TypeBody
	}
	return Protoo
}

var errScene = errors.New("the hook has failed")

func sceneError(refuse string, fail bool) error {
	switch {
	case refuse != "":
		return &Error{Code: CodeForbidden, Reason: refuse}
	case fail:
		return errScene
	}
	return nil
}

// options are what the server of a scene is made with.
func (sc serverScene) options() *ServerOptions {
	opts := &ServerOptions{ServerConfig: sc.ServerConfig, Framing: sc.framing(), MessageBytes: sc.Message}
	opts.NewID = sceneIDs()
	opts.Media = &sceneEngine{NullEngine{Effective: sc.Effective}, sc.Fail}
	opts.Authenticate = func(_ context.Context, _ *ServerSession, j *Join) error {
		var s sceneJoin
		if jsonx.IsObject(j.AppData) {
			if err := json.Unmarshal(j.AppData, &s); err != nil {
				return err
			}
		}
		return sceneError(s.Refuse, s.Fail)
	}
	if sc.Ask != nil {
		opts.AuthorizeRequest = func(_ context.Context, _ *ServerSession, m Message) error {
			why, ok := sc.Ask[m.wireType()]
			return sceneError(why, ok)
		}
	}
	opts.Message = func(_ context.Context, _ *ServerSession, m *Application) (json.RawMessage, error) {
		switch m.Method {
		case "app-echo":
			return m.Data, nil
		case "app-refuse":
			return nil, &Error{Code: 418, Reason: "no"}
		case "app-fail":
			return nil, errScene
		case "app-garbage":
			return json.RawMessage("{"), nil
		}
		return nil, nil
	}
	return opts
}

// sceneIDs returns the ids that a machine without NewID makes.
func sceneIDs() func() uint32 {
	n := uint32(10_000_000)
	return func() uint32 { n++; return n }
}

// A sceneEngine is a NullEngine of which some operations fail.
type sceneEngine struct {
	NullEngine
	fail map[string]string
}

type sceneMedia struct {
	MediaRoom
	fail map[string]string
}

func (e *sceneEngine) error(name string) error { return sceneMedia{fail: e.fail}.error(name) }

func (r sceneMedia) error(name string) error {
	why, ok := r.fail[name]
	return sceneError(why, ok)
}

func (e *sceneEngine) OpenRoom(
	ctx context.Context, room string, caps *RTPCapabilities, events MediaEvents,
) (MediaRoom, error) {
	if err := e.error("OpenRoom"); err != nil {
		return nil, err
	}
	r, err := e.NullEngine.OpenRoom(ctx, room, caps, events)
	return sceneMedia{r, e.fail}, err
}

func (r sceneMedia) CreateTransport(id MediaID, m *CreateTransport) (*CreateTransportResult, error) {
	if err := r.error("CreateTransport"); err != nil {
		return nil, err
	}
	return r.MediaRoom.CreateTransport(id, m)
}

func (r sceneMedia) UpdateTransport(MediaID, *UpdateTransport) error {
	return r.error("UpdateTransport")
}

func (r sceneMedia) RestartTransport(id MediaID) (*ICEParameters, error) {
	if err := r.error("RestartTransport"); err != nil {
		return nil, err
	}
	return r.MediaRoom.RestartTransport(id)
}

func (r sceneMedia) CreateProducer(MediaID, *MediaProducer) error { return r.error("CreateProducer") }

func (r sceneMedia) EnableConsumer(id MediaID, c *MediaConsumer) (Profile, error) {
	if err := r.error("EnableConsumer"); err != nil {
		return "", err
	}
	return r.MediaRoom.EnableConsumer(id, c)
}

func (r sceneMedia) TransportStats(id MediaID) ([]json.RawMessage, error) {
	if err := r.error("TransportStats"); err != nil {
		return nil, err
	}
	return r.MediaRoom.TransportStats(id)
}

// theApplication is the peer in scripts that is the server's application. What it says is an
// applicationCall; it hears what comes of it.
const theApplication = "app"

// An applicationCall is one of these, about a peer of the room "" and something of its.
type applicationCall struct {
	Call    string
	Room    string
	Peer    string
	ID      uint32
	AppData json.RawMessage
	Profile Profile
}

// call carries out what the application, or the media, say.
func (a applicationCall) call(m *ServerMachine, now time.Time) (fx ServerEffects, answer any) {
	peer, _ := m.Find(a.Room, a.Peer)
	id := MediaID{peer, a.ID}
	ok := true
	switch a.Call {
	case "closeRoom":
		fx, ok = m.CloseRoom(now, a.Room)
	case "closePeer":
		fx, ok = m.ClosePeer(now, peer, a.AppData)
	case "closeTransport":
		fx, ok = m.CloseTransport(now, id, a.AppData)
	case "pauseProducer", "resumeProducer":
		fx, ok = m.PauseProducer(now, id, a.Call == "pauseProducer", a.AppData)
	case "closeProducer":
		fx, ok = m.CloseProducer(now, id, a.AppData)
	case "pauseConsumer", "resumeConsumer":
		fx, ok = m.PauseConsumer(now, id, a.Call == "pauseConsumer", a.AppData)
	case "setPreferredProfile":
		fx, ok = m.SetPreferredProfile(now, id, a.Profile)
	case "requestKeyFrame":
		fx, ok = m.RequestKeyFrame(now, id)
	case "effectiveProfile":
		fx = m.EffectiveProfile(now, id, a.Profile)
	case "peer":
		state, known := m.Peer(peer)
		if !known {
			return fx, nil
		}
		return fx, state
	default:
		return fx, "what?"
	}
	return fx, ok
}

func decodeCall(data []byte) (a applicationCall, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return a, d.Decode(&a)
}

func answerEvent(answer any) script.Event {
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return sceneHears(text)
}

// sceneConnection is what the words behind open say: the room and the name that a connection
// is bound to, or nothing.
func sceneConnection(args []string) (c Connection) {
	if len(args) > 0 {
		c.Room = args[0]
	}
	if len(args) > 1 {
		c.PeerName = args[1]
	}
	if c.Room == "-" {
		c.Room = ""
	}
	return c
}

// A serverWire is a machine with the codec, the hooks and the media around it: frames in,
// frames out. It is a target of scripts, inside a bubble of synctest.
type serverWire struct {
	script.ServerWire[PeerID, ServerEffects, struct{}]
	server *Server // its machine, its decisions and its media, not its connections
	decode func(typ transport.MessageType, data []byte) (Message, error)
}

func newServerWire(sc serverScene) *serverWire {
	opts := sc.options()
	w := &serverWire{server: NewServer(opts)}
	w.decode = decoder(opts.Framing, cmp.Or(opts.MessageBytes, DefaultMessageBytes))
	w.Machine, w.Apply = w.server.machine, w.apply
	return w
}

func (w *serverWire) Open(name string, args []string) error {
	p := w.Appear(name)
	if name == theApplication {
		return nil
	}
	w.Number(p)
	w.apply(w.server.machine.Connect(time.Now(), p.ID, sceneConnection(args)))
	return nil
}

func (w *serverWire) Send(name string, m script.Message) error {
	if name == theApplication {
		a, err := decodeCall(m.Data)
		if err != nil {
			return err
		}
		fx, answer := a.call(w.server.machine, time.Now())
		w.Peer(name).Hear(answerEvent(answer))
		w.apply(fx)
		return nil
	}
	p, err := w.Present(name)
	if err != nil {
		return err
	}
	m = sceneSays(w.server.opts.Framing, m)
	msg, err := w.decode(m.Type(), m.Data)
	if err != nil {
		w.apply(w.server.machine.Malformed(time.Now(), p.ID, asDecodeError(err)))
		return nil
	}
	w.apply(w.server.machine.Receive(time.Now(), p.ID, msg))
	return nil
}

// apply carries out effects, as the driver does, but for media, which it waits for.
func (w *serverWire) apply(fx ServerEffects) {
	for _, d := range fx.Send {
		data, err := EncodeFramed(w.server.opts.Framing, d.Message)
		if err != nil {
			panic(err)
		}
		if p := w.Of(d.To); !p.Gone {
			p.Hear(sceneHears(data))
		}
	}
	for _, c := range fx.Close {
		p := w.Of(c.Peer)
		p.Gone = true
		p.Hear(script.Event{Closed: int(c.Code)})
	}
	var done []func() ServerEffects
	for _, op := range fx.Media {
		q := w.server.media[op.Room]
		if q == nil {
			q = &mediaQueue{name: op.Room}
			w.server.media[op.Room] = q
		}
		result, err := w.server.carryOut(q, op)
		if err != nil {
			result.Err = w.server.mediaError(op, err)
		}
		if q.room == nil {
			delete(w.server.media, op.Room)
		}
		if op.Ticket != (Ticket{}) {
			done = append(done, func() ServerEffects { return w.server.machine.MediaDone(time.Now(), op.Ticket, result) })
		}
	}
	for _, step := range done {
		w.apply(step())
	}
	for _, q := range fx.Ask {
		d := w.server.decide(context.Background(), &ServerSession{server: w.server}, q)
		w.apply(w.server.machine.Decide(time.Now(), q.Ticket, d))
	}
}

// end disconnects everybody and checks that the machine has forgotten them.
func (w *serverWire) end(t *testing.T) {
	w.DisconnectAll()
	requireNobodyLeft(t, w.server.machine)
	require.Empty(t, w.server.media)
}

// serverPipes are raw ends of pipes to a server. They are a target of scripts.
type serverPipes struct {
	script.Ends
	server *Server
}

type sceneKey struct{}

func newServerPipes(sc serverScene) *serverPipes {
	opts := sc.options()
	opts.Connection = func(ctx context.Context) (Connection, error) { return ctx.Value(sceneKey{}).(Connection), nil }
	p := &serverPipes{server: NewServer(opts)}
	p.Say = func(m script.Message) script.Message { return sceneSays(opts.Framing, m) }
	p.Hear = func(data []byte, _ bool) script.Event { return sceneHears(data) }
	return p
}

func (p *serverPipes) Open(name string, args []string) error {
	if name == theApplication {
		p.Appear(name)
		return nil
	}
	p.Connect(name, func(ctx context.Context, conn transport.Conn) error {
		return p.server.Serve(context.WithValue(ctx, sceneKey{}, sceneConnection(args)), conn)
	})
	synctest.Wait() // it has its number
	return nil
}

func (p *serverPipes) Send(name string, m script.Message) error {
	if name != theApplication {
		return p.Ends.Send(name, m)
	}
	a, err := decodeCall(m.Data)
	if err != nil {
		return err
	}
	var answer any
	p.server.step(func(now time.Time) (fx ServerEffects) {
		fx, answer = a.call(p.server.machine, now)
		return fx
	})
	p.Tell(name, answerEvent(answer))
	return nil
}

// end closes everything and checks that the server has forgotten it.
func (p *serverPipes) end(t *testing.T) {
	_ = p.CloseAll() // the server may have been first
	require.NoError(t, p.server.Close())
	synctest.Wait()
	requireServerEmpty(t, p.server)
}

// requireServerEmpty demands that a server has forgotten everybody.
func requireServerEmpty(t testing.TB, s *Server) {
	t.Helper()
	requireNobodyLeft(t, s.machine)
	require.Empty(t, s.media)
	require.Empty(t, slices.Collect(s.Sessions()))
}
