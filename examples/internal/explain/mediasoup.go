package explain

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
)

func newMediasoup(r *Recording, _ capture.Entry) Conn {
	c := &mediasoupConn{r: r} // of which the beginning may be missing
	c.toServer.forgot, c.toClient.forgot = true, true
	c.forget()
	return c
}

// A mediasoupConn explains a connection of mediasoup, whose framing it finds by itself.
//
// The states are those of the package's machines. These cannot be run beside the traffic,
// because they number their requests and hold some back; but what may be sent when is little.
type mediasoupConn struct {
	r       *Recording
	framing mediasoupproto.Framing // nil is not known
	engine  *engineConn            // with the framing of Socket.IO

	opened bool // the beginning was seen
	known  bool // where the sides stand
	gone   bool // the connection
	client mediasoupproto.ClientState
	server mediasoupproto.ServerState
	before mediasoupproto.ServerState // the join
	thrown bool                       // out of the room by the server: the client may not know yet

	toServer, toClient               mediasoupSide
	transports, producers, consumers labels // by their ids
}

// A mediasoupSide is one direction.
type mediasoupSide struct {
	waiting pending[mediasoupproto.ID, mediasoupRequest]
	forgot  bool // a request that waits, or may have been one
}

// A mediasoupRequest waits for its answer.
type mediasoupRequest struct {
	name, about string
	application bool
	message     mediasoupproto.Message // without what is long; nil for one that cannot be read
}

// labels are short names for ids that are long.
type labels struct {
	byID map[uint32]string
	used map[string]int
}

// put names an id after what it stands for, with a number if others are called so.
func (l *labels) put(id uint32, label string) string {
	if label = clip(label, 100); label == "" {
		return l.get(id)
	}
	if old, ok := l.byID[id]; ok && (old == label || strings.HasPrefix(old, label+" #")) {
		return old
	}
	if len(l.byID) >= maxNames || len(l.used) >= maxNames {
		return label
	}
	if l.used[label]++; l.used[label] > 1 {
		label += " #" + strconv.Itoa(l.used[label])
	}
	l.byID[id] = label
	return label
}

// get returns the name of an id.
func (l *labels) get(id uint32) string {
	if label, ok := l.byID[id]; ok {
		return label
	}
	return strconv.FormatUint(uint64(id), 10)
}

func newLabels() labels { return labels{make(map[uint32]string), make(map[string]int)} }

func (c *mediasoupConn) forget() {
	c.transports, c.producers, c.consumers = newLabels(), newLabels(), newLabels()
}

func (c *mediasoupConn) begin() {
	c.opened, c.known, c.gone, c.thrown = true, true, false, false
	c.client, c.server = mediasoupproto.ClientNew, mediasoupproto.ServerNew
	c.toServer, c.toClient = mediasoupSide{}, mediasoupSide{}
	c.forget()
}

func (c *mediasoupConn) end() { c.known, c.gone, c.client = true, true, mediasoupproto.ClientClosed }

func (c *mediasoupConn) states() (client, server string) {
	if !c.known {
		return "", ""
	}
	if c.gone {
		return c.client.String(), closedState
	}
	return c.client.String(), c.server.String()
}

// side returns the direction of what a side sends, and the other one.
func (c *mediasoupConn) side(from capture.Side) (own, other *mediasoupSide) {
	if from == capture.Client {
		return &c.toServer, &c.toClient
	}
	return &c.toClient, &c.toServer
}

// Explain returns the arrows of an entry.
func (c *mediasoupConn) Explain(e capture.Entry) []Arrow {
	if c.engine == nil && c.framing == nil && (isEngine(e) || isHandshake(e)) {
		c.engine, c.framing = newEngineConn(c.r, c), mediasoupproto.SocketIO
	}
	if c.engine != nil {
		return c.engine.Explain(e)
	}
	var arrows []Arrow
	switch e.Kind {
	case capture.Request, capture.Response:
		return c.r.carrier(e, true)
	case capture.Message:
		arrows = []Arrow{c.frame(e)}
	default:
		switch {
		case e.Kind == capture.Open && e.Status < http.StatusBadRequest:
			c.begin()
		case e.Kind == capture.Close:
			c.end()
		}
		arrows = c.r.lifecycle(e)
		if len(arrows) > 0 && e.Kind == capture.Open {
			arrows[0].Who = peerInAddress(c.r.address(e.URL))
		}
	}
	for i := range arrows {
		arrows[i].Client, arrows[i].Server = c.states()
	}
	return arrows
}

// peerInAddress returns the peer that protoo has in the address of a connection, or "".
func peerInAddress(address string) string {
	_, query, _ := strings.Cut(address, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return cmp.Or(values.Get("peerName"), values.Get("peerId"))
}

// isHandshake reports whether an entry is the first packet of Engine.IO.
func isHandshake(e capture.Entry) bool {
	return e.Kind == capture.Message && bytes.HasPrefix(e.Data, []byte(`0{`))
}

// frame returns the arrow of a WebSocket message.
func (c *mediasoupConn) frame(e capture.Entry) Arrow {
	if e.Cut != 0 {
		c.cut(e.From, nil)
		a := c.r.truncated(e)
		a.Detail.Raw = c.raw(e.Data, nil)
		return a
	}
	if c.framing == nil {
		c.framing = framingOf(e.Data)
	}
	typ := transport.Text
	if e.Binary {
		typ = transport.Binary
	}
	return c.message(e.From, typ, e.Data)
}

// framingOf finds the framing by a message: nil if it says nothing.
func framingOf(data []byte) mediasoupproto.Framing {
	var head map[string]json.RawMessage
	if json.Unmarshal(data, &head) != nil {
		return nil
	}
	for _, name := range []string{"request", "response", "notification"} {
		if _, ok := head[name]; ok {
			return mediasoupproto.Protoo // which reads version 2 as well
		}
	}
	if _, ok := head["type"]; ok {
		return mediasoupproto.TypeBody
	}
	return nil
}

func (c *mediasoupConn) cut(from capture.Side, beginning []byte) (name, about string) {
	own, other := c.side(from)
	own.forgot = true
	p, err := socketio.Parse(beginning)
	if err == nil && p.Type == socketio.Ack {
		request, _ := other.waiting.take(mediasoupproto.ID(p.ID.String()))
		return strings.TrimSpace("response " + request.name), request.about
	}
	other.forgot = true
	return "", ""
}

func (c *mediasoupConn) message(from capture.Side, typ transport.MessageType, data []byte) Arrow {
	framing := c.framing
	if framing == nil {
		framing = mediasoupproto.Protoo
	}
	if c.engine != nil && typ == transport.Text {
		if p, err := socketio.Parse(data); err == nil && p.Type != socketio.Event && p.Type != socketio.Ack {
			return c.control(from, p, data)
		}
	}
	m, err := mediasoupproto.DecodeFramed(framing, typ, data)
	if err != nil {
		return c.undecodable(from, data, err)
	}
	a := Arrow{Kind: Message, Size: len(data)}
	if c.engine != nil {
		a.Size++
	}
	a.Problems = problem(Invalid, mediasoupproto.Compat.Validate(m))
	if r, ok := m.(*mediasoupproto.Response); ok {
		c.response(&a, from, r, data)
		return a
	}
	c.explain(&a, from, m, data)
	return a
}

// control returns the arrow of a packet of Socket.IO that carries no message.
func (c *mediasoupConn) control(from capture.Side, p socketio.Packet, data []byte) Arrow {
	a := Arrow{Kind: Carrier, Size: 1 + len(data), Detail: &Detail{Raw: "4" + c.r.unreadable(data)}}
	a.Name = strings.ReplaceAll(p.Type.String(), " ", "_")
	if p.Namespace != socketio.Default {
		a.About = p.Namespace
	}
	if err := socketio.CheckPayload(p); err != nil && p.Type != socketio.BinaryEvent && p.Type != socketio.BinaryAck {
		a.Problems = problem(Undecodable, err)
		return a
	}
	switch p.Type {
	case socketio.Disconnect:
		a.Kind = Message
		c.end()
	case socketio.ConnectError:
		a.Kind = Message
		a.Problems = []Problem{{Refused, "the server refuses to connect"}}
	case socketio.BinaryEvent, socketio.BinaryAck:
		a.Kind, a.Name = Message, "unreadable"
		a.Problems = problem(Undecodable, errors.New("mediasoupproto: decode: has attachments"))
	case socketio.Connect:
		if from == capture.Client && len(p.Data) > 0 && !c.r.Secrets { // for an application's middleware
			a.Detail.Raw = "40" + hidden
		}
	}
	return a
}

// undecodable returns the arrow of what is no message. A request may be answered all the same.
func (c *mediasoupConn) undecodable(from capture.Side, data []byte, err error) Arrow {
	own, other := c.side(from)
	a := c.r.undecodable(data, err)
	a.Detail.Raw = c.raw(data, nil)
	a.Size = len(data)
	e, ok := errors.AsType[*mediasoupproto.DecodeError](err)
	if !ok {
		return a
	}
	if e.Type != "" {
		a.Name = e.Type
	}
	if e.RequestID != "" {
		c.wait(own, e.RequestID, mediasoupRequest{name: e.Type})
		return a
	}
	own.forgot, other.forgot = true, true // it may have been anything
	return a
}

func (c *mediasoupConn) wait(s *mediasoupSide, id mediasoupproto.ID, request mediasoupRequest) {
	if id == "" {
		return
	}
	s.forgot = s.forgot || len(s.waiting.keys) >= maxPending
	request.name, request.about = clip(request.name, 80), clip(request.about, 120)
	s.waiting.put(id, request)
}

// explain says what a message is, and takes note of it.
func (c *mediasoupConn) explain(a *Arrow, from capture.Side, m mediasoupproto.Message, data []byte) {
	own, _ := c.side(from)
	var request mediasoupRequest
	var id mediasoupproto.ID
	payload, err := mediasoupproto.EncodePayload(m)
	if err != nil {
		payload = nil
	}
	switch m := m.(type) {
	case *mediasoupproto.Application:
		a.Name, id, request.application = cmp.Or(m.Method, "message"), m.RequestID, true
	case *mediasoupproto.Unknown:
		a.Name, id = cmp.Or(m.Type, "message"), m.RequestID
		if id == "" && isMediasoupRequest(m.Type) {
			a.Problems = append(a.Problems, Problem{Invalid,
				"mediasoupproto: " + m.Type + " is a request: as a notification servers ignore it"})
		}
	default:
		a.Name, a.About, id = c.about(m)
		if join, ok := m.(*mediasoupproto.Join); ok && from == capture.Client {
			a.Who = join.PeerName
		}
		if err := c.allowed(from, m, a.Name); err != nil {
			a.Problems = append(a.Problems, Problem{Illegal, err.Error()})
		}
		c.step(m)
	}
	request.name, request.about, request.message = a.Name, a.About, light(m)
	c.wait(own, id, request)
	a.Detail = c.detail(m, data, payload, request.application)
}

// isMediasoupRequest reports whether a method wants an answer.
func isMediasoupRequest(method string) bool {
	switch method {
	case "queryRoom", "join", "createTransport", "restartTransport", "createProducer", "enableConsumer":
		return true
	}
	return false
}

// light returns what of a request is needed when its answer comes.
func light(m mediasoupproto.Message) mediasoupproto.Message {
	switch m.(type) {
	case *mediasoupproto.Join:
		return new(mediasoupproto.Join)
	case *mediasoupproto.QueryRoom:
		return new(mediasoupproto.QueryRoom)
	case *mediasoupproto.CreateTransport:
		return new(mediasoupproto.CreateTransport)
	case *mediasoupproto.RestartTransport:
		return new(mediasoupproto.RestartTransport)
	case *mediasoupproto.EnableConsumer:
		return new(mediasoupproto.EnableConsumer)
	}
	return nil
}

// response says what an answer is, and takes note of it.
func (c *mediasoupConn) response(a *Arrow, from capture.Side, m *mediasoupproto.Response, data []byte) {
	_, other := c.side(from)
	request, ok := other.waiting.take(m.RequestID)
	if !ok && c.known && !other.forgot {
		a.Problems = append(a.Problems, Problem{Illegal,
			"mediasoupproto: answers request " + string(m.RequestID) + ", for which nobody waits"})
	}
	a.Name, a.About = strings.TrimSpace("response "+request.name), request.about
	if m.Error != nil {
		a.Name = strings.TrimSpace("error " + request.name)
		a.Problems = append(a.Problems, Problem{Refused, m.Error.Error()})
	}
	a.Ack = ok && m.Error == nil && saysNothing(m.Result)
	hide := request.application || !ok && m.Error == nil
	a.Detail = c.detail(m, data, m.Result, hide)
	_, join := request.message.(*mediasoupproto.Join)
	if m.Error != nil {
		if join && c.client == mediasoupproto.ClientJoining {
			c.client, c.server, c.thrown = mediasoupproto.ClientNew, c.before, true
		}
		return
	}
	if join && c.client == mediasoupproto.ClientJoining {
		c.client, c.server = mediasoupproto.ClientJoined, mediasoupproto.ServerJoined
	}
	var err error
	switch request.message.(type) {
	case *mediasoupproto.QueryRoom:
		_, err = m.QueryRoom()
	case *mediasoupproto.Join:
		var joined *mediasoupproto.JoinResult
		if joined, err = m.Join(); err == nil {
			for _, peer := range joined.Peers {
				if peer != nil {
					c.remember(peer.Name, peer.Consumers)
				}
			}
		}
	case *mediasoupproto.CreateTransport:
		var created *mediasoupproto.CreateTransportResult
		if created, err = m.CreateTransport(); err == nil && !hide {
			a.Detail.Folds = withCandidates(a.Detail.Folds, created.ICECandidates)
		}
	case *mediasoupproto.RestartTransport:
		_, err = m.RestartTransport()
	case *mediasoupproto.EnableConsumer:
		_, err = m.EnableConsumer()
	}
	a.Problems = append(a.Problems, problem(Undecodable, err)...)
}

// saysNothing reports whether the result of a request has nothing in it.
func saysNothing(result []byte) bool {
	switch string(bytes.TrimSpace(result)) {
	case "", "null", "{}":
		return true
	}
	return false
}

// remember names the consumers of a peer.
func (c *mediasoupConn) remember(peer string, consumers []*mediasoupproto.ConsumerInfo) {
	for _, consumer := range consumers {
		if consumer != nil {
			c.consumers.put(consumer.ID, string(consumer.Kind)+" of "+peer)
		}
	}
}

// withCandidates returns folds with one for each candidate in place of one for all.
func withCandidates(folds []Fold, candidates []mediasoupproto.ICECandidate) []Fold {
	folds = slices.DeleteFunc(folds, func(f Fold) bool { return f.Title == "iceCandidates" })
	for _, candidate := range candidates {
		if len(folds) >= maxFolds {
			break
		}
		text, err := json.MarshalIndent(candidate, "", "  ")
		if err != nil {
			continue
		}
		address := net.JoinHostPort(candidate.IP, strconv.Itoa(int(candidate.Port)))
		folds = append(folds, Fold{
			Title: clip("candidate: "+candidate.Type+" "+candidate.Protocol+" "+address, 200), Text: string(text),
		})
	}
	return folds
}

// step takes the states on.
func (c *mediasoupConn) step(m mediasoupproto.Message) {
	switch m.(type) {
	case *mediasoupproto.QueryRoom:
		if !c.known { // it is how clients begin
			c.known, c.client, c.server = true, mediasoupproto.ClientNew, mediasoupproto.ServerNew
		}
	case *mediasoupproto.Join:
		if c.client == mediasoupproto.ClientJoined && c.opened {
			return // which is refused
		}
		if c.client != mediasoupproto.ClientJoining {
			c.before = c.server
		}
		c.known, c.thrown = true, false
		c.client, c.server = mediasoupproto.ClientJoining, mediasoupproto.ServerJoining
	case *mediasoupproto.Leave, *mediasoupproto.Closed:
		_, c.thrown = m.(*mediasoupproto.Closed)
		c.known, c.client, c.server = true, mediasoupproto.ClientLeft, mediasoupproto.ServerLeft
	}
}

// allowed returns why a message may not be sent. What crosses with a message that changes
// the state is not the fault of its sender: nothing is said about it.
func (c *mediasoupConn) allowed(from capture.Side, m mediasoupproto.Message, name string) error {
	var required []mediasoupproto.ClientState
	switch m.(type) {
	case *mediasoupproto.QueryRoom:
		if from == capture.Client {
			return nil
		}
	case *mediasoupproto.Join:
		required = []mediasoupproto.ClientState{mediasoupproto.ClientNew, mediasoupproto.ClientLeft}
		if !c.opened { // it may be another connection of that name
			required = append(required, mediasoupproto.ClientJoined)
		}
	case *mediasoupproto.CreateTransport, *mediasoupproto.RestartTransport, *mediasoupproto.CreateProducer,
		*mediasoupproto.EnableConsumer, *mediasoupproto.Leave, *mediasoupproto.UpdateTransport,
		*mediasoupproto.CloseTransport, *mediasoupproto.EnableTransportStats, *mediasoupproto.DisableTransportStats,
		*mediasoupproto.PauseProducer, *mediasoupproto.ResumeProducer, *mediasoupproto.CloseProducer,
		*mediasoupproto.EnableProducerStats, *mediasoupproto.DisableProducerStats, *mediasoupproto.UpdateProducer,
		*mediasoupproto.PauseConsumer, *mediasoupproto.ResumeConsumer, *mediasoupproto.SetConsumerPreferredProfile,
		*mediasoupproto.EnableConsumerStats, *mediasoupproto.DisableConsumerStats:
		required = []mediasoupproto.ClientState{mediasoupproto.ClientJoined}
	default: // of servers
		if from == capture.Server {
			return nil
		}
		return &mediasoupproto.StateError{State: c.client, Type: name}
	}
	switch {
	case from == capture.Server:
		return &mediasoupproto.StateError{State: c.client, Type: name}
	case !c.known, c.thrown, c.client == mediasoupproto.ClientJoining, slices.Contains(required, c.client):
		return nil
	}
	e := &mediasoupproto.StateError{State: c.client, Type: name}
	for _, state := range required {
		e.Required = append(e.Required, state.String())
	}
	slices.Sort(e.Required)
	return e
}

// about returns the method of a message, what tells it from others of that, and the id of a
// request. It takes note of what ids stand for.
func (c *mediasoupConn) about(m mediasoupproto.Message) (name, about string, id mediasoupproto.ID) {
	transport, producer, consumer := c.transports.get, c.producers.get, c.consumers.get
	profile := func(id uint32, p mediasoupproto.Profile) string { return consumer(id) + ": " + string(p) }
	switch m := m.(type) {
	case *mediasoupproto.QueryRoom:
		return "queryRoom", "", m.RequestID
	case *mediasoupproto.Join:
		about = m.PeerName
		if m.Spy {
			about += ", a spy"
		}
		return "join", about, m.RequestID
	case *mediasoupproto.CreateTransport:
		about = string(m.Direction)
		if m.PlainRTPParameters != nil {
			about = strings.TrimSpace(about + " plain RTP")
		}
		return "createTransport", c.transports.put(m.ID, about), m.RequestID
	case *mediasoupproto.RestartTransport:
		return "restartTransport", transport(m.ID), m.RequestID
	case *mediasoupproto.UpdateTransport:
		return "updateTransport", transport(m.ID), m.RequestID
	case *mediasoupproto.CloseTransport:
		return "closeTransport", transport(m.ID), m.RequestID
	case *mediasoupproto.EnableTransportStats:
		return "enableTransportStats", transport(m.ID), m.RequestID
	case *mediasoupproto.DisableTransportStats:
		return "disableTransportStats", transport(m.ID), m.RequestID
	case *mediasoupproto.TransportClosed:
		return "transportClosed", transport(m.ID), m.RequestID
	case *mediasoupproto.TransportStats:
		return "transportStats", transport(m.ID), m.RequestID
	case *mediasoupproto.CreateProducer:
		return "createProducer", c.producers.put(m.ID, string(m.Kind)), m.RequestID
	case *mediasoupproto.PauseProducer:
		return "pauseProducer", producer(m.ID), m.RequestID
	case *mediasoupproto.ResumeProducer:
		return "resumeProducer", producer(m.ID), m.RequestID
	case *mediasoupproto.CloseProducer:
		return "closeProducer", producer(m.ID), m.RequestID
	case *mediasoupproto.UpdateProducer:
		return "updateProducer", producer(m.ID), m.RequestID
	case *mediasoupproto.EnableProducerStats:
		return "enableProducerStats", producer(m.ID), m.RequestID
	case *mediasoupproto.DisableProducerStats:
		return "disableProducerStats", producer(m.ID), m.RequestID
	case *mediasoupproto.ProducerPaused:
		return "producerPaused", producer(m.ID), m.RequestID
	case *mediasoupproto.ProducerResumed:
		return "producerResumed", producer(m.ID), m.RequestID
	case *mediasoupproto.ProducerClosed:
		return "producerClosed", producer(m.ID), m.RequestID
	case *mediasoupproto.ProducerStats:
		return "producerStats", producer(m.ID), m.RequestID
	case *mediasoupproto.NewConsumer:
		return "newConsumer", c.consumers.put(m.ID, string(m.Kind)+" of "+m.PeerName), m.RequestID
	case *mediasoupproto.EnableConsumer:
		return "enableConsumer", consumer(m.ID), m.RequestID
	case *mediasoupproto.PauseConsumer:
		return "pauseConsumer", consumer(m.ID), m.RequestID
	case *mediasoupproto.ResumeConsumer:
		return "resumeConsumer", consumer(m.ID), m.RequestID
	case *mediasoupproto.SetConsumerPreferredProfile:
		return "setConsumerPreferredProfile", profile(m.ID, m.Profile), m.RequestID
	case *mediasoupproto.EnableConsumerStats:
		return "enableConsumerStats", consumer(m.ID), m.RequestID
	case *mediasoupproto.DisableConsumerStats:
		return "disableConsumerStats", consumer(m.ID), m.RequestID
	case *mediasoupproto.ConsumerClosed:
		return "consumerClosed", consumer(m.ID), m.RequestID
	case *mediasoupproto.ConsumerPaused:
		return "consumerPaused", consumer(m.ID), m.RequestID
	case *mediasoupproto.ConsumerResumed:
		return "consumerResumed", consumer(m.ID), m.RequestID
	case *mediasoupproto.ConsumerPreferredProfileSet:
		return "consumerPreferredProfileSet", profile(m.ID, m.Profile), m.RequestID
	case *mediasoupproto.ConsumerEffectiveProfileChanged:
		return "consumerEffectiveProfileChanged", profile(m.ID, m.Profile), m.RequestID
	case *mediasoupproto.ConsumerStats:
		return "consumerStats", consumer(m.ID), m.RequestID
	case *mediasoupproto.NewPeer:
		c.remember(m.Name, m.Consumers)
		return "newPeer", m.Name, m.RequestID
	case *mediasoupproto.PeerClosed:
		return "peerClosed", m.Name, m.RequestID
	case *mediasoupproto.Leave:
		return "leave", "", m.RequestID
	case *mediasoupproto.Closed:
		return "closed", "", m.RequestID
	}
	return "message", "", ""
}

// detail returns what a click on a message shows. Data that are an application's are hidden.
func (c *mediasoupConn) detail(m mediasoupproto.Message, data, payload []byte, application bool) *Detail {
	d := &Detail{Type: fmt.Sprintf("%T", m)}
	switch {
	case c.r.Secrets:
		d.Raw = c.head() + text(data)
	case application:
		d.Raw, payload = c.raw(data, func(name string) bool { return name == "data" || name == "body" }), nil
	default:
		d.Raw = c.raw(data, nil)
		if mentions(payload, "password", "appdata") {
			payload, _ = maskMembers(payload, isMediasoupSecret) // which is JSON, or else nil
		}
	}
	if len(payload) > 0 {
		d.Decoded, d.Folds = payload, foldsOf(payload, "")
	}
	return d
}

// head is what Engine.IO adds to a message.
func (c *mediasoupConn) head() string {
	if c.engine != nil {
		return "4"
	}
	return ""
}

// raw returns data as they are shown. Members are hidden if they are secret, and those that
// also names.
func (c *mediasoupConn) raw(data []byte, also func(name string) bool) string {
	if c.r.Secrets {
		return c.head() + text(data)
	}
	secret := isMediasoupSecret
	if also != nil {
		secret = func(name string) bool { return isMediasoupSecret(name) || also(name) }
	}
	head, value := []byte(nil), data
	if c.engine != nil {
		if p, err := socketio.Parse(data); err == nil {
			head, value = data[:len(data)-len(p.Data)], p.Data
			if also != nil { // the arguments have no names
				name, _, _ := bytes.Cut(value, []byte{','})
				if p.Type != socketio.Event {
					name = []byte("[")
				}
				return c.head() + text(head) + text(name) + "," + hidden + "]"
			}
		}
	}
	if also == nil && json.Valid(value) && !mentions(value, "password", "appdata") {
		return c.head() + text(data)
	}
	masked, err := maskMembers(value, secret)
	if err != nil {
		return c.head() + unreadablePacket(c.r, data)
	}
	return c.head() + text(head) + text(masked)
}

// isMediasoupSecret reports whether a member is what the package's Redact hides.
func isMediasoupSecret(name string) bool {
	return strings.EqualFold(name, "password") || strings.EqualFold(name, "appData")
}
