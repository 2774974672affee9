package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A galeneConn is a connection of Galène. Its states are those of [galene.ClientMachine]
// and [galene.ServerMachine], which are not run here: they make messages of their own, and a
// client may send its join before the server's handshake has come.
type galeneConn struct {
	r *Recording

	// whole says that the connection is known from its beginning. Of others nobody knows
	// what may be sent.
	whole  bool
	shaken [2]bool // the client's handshake was seen, the server's
	over   bool

	id       string // the client's
	versions []string
	client   galene.ClientState // from ClientReady on without regard to the server's handshake
	server   galene.ServerState
	joins    int  // that have no answer
	ever     bool // a join was sent

	username *string // in the group, nil while nobody knows
	users    map[string]string
	up, down map[string]string // labels of the streams that were ever offered, by id
	full     bool              // there were more streams than are remembered
	actions  pending[galene.UserMessageKind, string]
}

// maxNames is how many streams and users of a connection are remembered.
const maxNames = 1024

func newGalene(r *Recording, first capture.Entry) Conn {
	c := &galeneConn{r: r, whole: first.Kind == capture.Open}
	c.users, c.up, c.down = make(map[string]string), make(map[string]string), make(map[string]string)
	return c
}

// Explain returns the arrows of an entry.
func (c *galeneConn) Explain(e capture.Entry) []Arrow {
	if e.Kind == capture.Open {
		*c = *newGalene(c.r, e).(*galeneConn)
	}
	return c.r.socket(e, &c.over, c.message, c.states)
}

// states returns where both sides stand.
func (c *galeneConn) states() (client, server string) {
	switch {
	case c.over:
		return closedState, closedState
	case !c.whole && !c.shaken[0] && !c.ever && c.client == galene.ClientIdle:
		return "", "" // the beginning is missing
	}
	state := c.client
	if state == galene.ClientReady && !c.shaken[1] && c.whole {
		state = galene.ClientHandshaking
	}
	return state.String(), c.server.String()
}

// message explains a message.
func (c *galeneConn) message(e capture.Entry) Arrow {
	if e.Cut > 0 {
		return c.r.truncated(e)
	}
	msg, err := galene.Decode(e.Data)
	if _, again := msg.(*galene.Handshake); c.over && again {
		*c = *newGalene(c.r, capture.Entry{Kind: capture.Open}).(*galeneConn)
	}
	c.over = false
	if err != nil {
		a := c.r.undecodable(e.Data, err)
		if d, ok := errors.AsType[*galene.DecodeError](err); ok && d.Type != "" {
			a.Name = d.Type
		}
		return a
	}
	a := Arrow{Kind: Message, Who: galeneUser(e.From, msg), Detail: c.detail(e.Data, msg)}
	a.Name, a.About = c.name(msg)
	switch msg.(type) {
	case *galene.Ping, *galene.Pong:
		a.Kind = Carrier
	}
	if e.From == capture.Client {
		if c.modern() {
			a.Problems = problem(Undecodable, galene.Check(e.Data))
		}
		if err := msg.Validate(); len(a.Problems) == 0 && !c.tolerated(err) {
			a.Problems = problem(Invalid, err)
		}
		if err := c.sent(msg, e.Data); len(a.Problems) == 0 {
			a.Problems = problem(Illegal, err)
		}
	} else {
		a.Problems = problem(Invalid, msg.Validate())
		if err := c.received(msg); len(a.Problems) == 0 {
			a.Problems = problem(Illegal, err)
		}
		if text := galeneRefusal(msg); text != "" {
			a.Problems = append(a.Problems, Problem{Kind: Refused, Text: text})
		}
		if m, ok := msg.(*galene.UserMessage); ok && m.Privileged && m.Source == "" {
			if action, ok := c.actions.take(m.Kind); ok {
				a.Name += " (" + action + ")"
			}
		}
	}
	return a
}

// modern reports whether the server is known to speak today's version.
func (c *galeneConn) modern() bool { return slices.Contains(c.versions, galene.Version) }

// tolerated reports whether servers of before version 2 take what is not valid today: the
// name of an anonymous user may be absent, and there is an action that today ends a
// connection. Those of before there were versions do not check the names of groups either.
func (c *galeneConn) tolerated(err error) bool {
	v, ok := errors.AsType[*galene.ValidationError](err)
	if !ok || !c.shaken[1] || c.modern() {
		return false
	}
	switch v.Type + " " + v.Field {
	case "join username", "useraction kind":
		return true
	case "join group":
		return len(c.versions) == 0
	}
	return false
}

func (c *galeneConn) detail(data []byte, msg galene.Message) *Detail {
	shown := c.r.masked(data, galene.Redact)
	d := &Detail{Type: fmt.Sprintf("%T", msg), Raw: text(shown)}
	masked, err := galene.Decode(shown)
	if err != nil {
		return d
	}
	var sdp string
	switch m := masked.(type) {
	case *galene.Offer:
		sdp = "offer"
	case *galene.Answer:
		sdp = "answer"
	case *galene.Request:
		if m.Tracks != nil {
			d.Decoded = shown // of the first dialect, which today's cannot say
			return d
		}
	}
	if encoded, err := galene.Encode(masked); err == nil {
		d.Decoded, d.Folds = encoded, foldsOf(encoded, sdp)
	}
	return d
}

// sent takes a message of the client. The error says what its state does not allow.
func (c *galeneConn) sent(msg galene.Message, data []byte) (err error) {
	if c.whole {
		err = c.maySend(msg, data)
	}
	switch m := msg.(type) {
	case *galene.Handshake:
		if !c.shaken[0] {
			c.id, c.client, c.server = m.ID, galene.ClientReady, galene.ServerReady
			c.username = new(string) // none, which is ""
			c.shaken[0], c.whole = true, true
		}
	case *galene.Join:
		c.ever = true
		if m.Kind == galene.JoinLeave {
			c.client = galene.ClientLeaving
			break
		}
		c.joins++
		if c.client != galene.ClientJoined {
			c.client, c.username = galene.ClientJoining, nil
		}
	case *galene.Offer:
		c.remember(c.up, m.ID, m.Label)
	case *galene.UserAction:
		if m.Kind == galene.UserIdentify {
			c.actions.put(galene.UserMessageUserInfo, string(m.Kind))
		}
	case *galene.GroupAction:
		switch m.Kind {
		case galene.GroupMakeToken, galene.GroupEditToken:
			c.actions.put(galene.UserMessageToken, string(m.Kind))
		case galene.GroupListTokens:
			c.actions.put(galene.UserMessageTokenList, string(m.Kind))
		}
	}
	return err
}

var (
	errGaleneSource   = errors.New("galene: the source is not the client's id")
	errGaleneUsername = errors.New("galene: the user name is not the client's")
	errGaleneStream   = errors.New("galene: there has been no such stream")
	errGaleneOwn      = errors.New("galene: the id is that of a received stream")
)

// maySend returns what is wrong with a message of the client at this time. What a message
// of the server on its way may have changed is not held against it, nor is what depends on
// a join that has no answer yet.
func (c *galeneConn) maySend(msg galene.Message, data []byte) error {
	typ := wireName(msg)
	wrong := func(required ...galene.ClientState) error {
		e := &galene.StateError{State: c.client, Type: typ}
		for _, state := range required {
			e.Required = append(e.Required, state.String())
		}
		return e
	}
	if _, ok := msg.(*galene.Handshake); ok == c.shaken[0] {
		if ok {
			return wrong(galene.ClientIdle)
		}
		return wrong(galene.ClientReady)
	}
	if err := c.spoofed(msg, data); err != nil {
		return err
	}
	switch m := msg.(type) {
	case *galene.Joined, *galene.User, *galene.ChatHistory, *galene.Unknown:
		return &galene.StateError{Type: typ}
	case *galene.Join:
		switch {
		case m.Kind == galene.JoinJoin && c.client == galene.ClientJoined:
			return wrong(galene.ClientReady)
		case m.Kind == galene.JoinLeave && c.client == galene.ClientReady:
			return wrong(galene.ClientJoined)
		}
		return nil
	case *galene.Ping, *galene.Pong, *galene.Handshake:
		return nil
	}
	if c.client == galene.ClientReady || c.client == galene.ClientLeaving {
		return wrong(galene.ClientJoined)
	}
	return c.mayStream(msg)
}

// spoofed returns what a message says about its sender that is not true.
func (c *galeneConn) spoofed(msg galene.Message, data []byte) error {
	value, _ := jsonx.Peek(data, "source")
	if source, _ := jsonx.Text(value); len(source) > 0 && string(source) != c.id {
		return errGaleneSource
	}
	if _, ok := msg.(*galene.Join); ok || c.username == nil {
		return nil
	}
	value, _ = jsonx.Peek(data, "username")
	if username, ok := jsonx.Text(value); ok && string(username) != *c.username {
		return errGaleneUsername
	}
	return nil
}

// mayStream returns what is wrong with a message of the client about a stream.
func (c *galeneConn) mayStream(msg galene.Message) error {
	if c.full {
		return nil
	}
	known := true
	switch m := msg.(type) {
	case *galene.Offer:
		if _, received := c.down[m.ID]; received {
			return errGaleneOwn
		}
	case *galene.Answer:
		_, known = c.down[m.ID]
	case *galene.RequestStream:
		_, known = c.down[m.ID]
	case *galene.ICE:
		_, up := c.up[m.ID]
		_, down := c.down[m.ID]
		known = up || down
	}
	if !known {
		return errGaleneStream
	}
	return nil
}

// received takes a message of the server. The error says what its state does not allow.
func (c *galeneConn) received(msg galene.Message) (err error) {
	if c.whole {
		err = c.mayReceive(msg)
	}
	switch m := msg.(type) {
	case *galene.Handshake:
		c.shaken[1], c.versions = true, m.Version
	case *galene.Joined:
		c.joined(m)
	case *galene.User:
		switch {
		case m.Kind == galene.UserDelete:
			delete(c.users, m.ID)
		case m.Username != nil && len(c.users) < maxNames:
			c.users[m.ID] = *m.Username
		}
	case *galene.Offer:
		c.remember(c.down, m.ID, m.Label)
	}
	return err
}

// mayReceive returns what is wrong with a message of the server at this time. Messages
// about streams that are not known are normal: both sides may end one at the same time.
func (c *galeneConn) mayReceive(msg galene.Message) error {
	typ := wireName(msg)
	switch m := msg.(type) {
	case *galene.Handshake:
		if c.shaken[1] {
			return &galene.StateError{State: c.server, Type: typ, Required: []string{galene.ServerHandshaking.String()}}
		}
		return nil
	case *galene.Join, *galene.UserAction, *galene.GroupAction, *galene.Request, *galene.RequestStream:
		return &galene.StateError{Type: typ}
	case *galene.Joined:
		if m.Kind != galene.JoinedChange && !c.ever {
			return fmt.Errorf("galene: joined %s without a join", m.Kind)
		}
	case *galene.User, *galene.Chat, *galene.ChatHistory, *galene.Offer, *galene.Answer:
		if !c.ever {
			return &galene.StateError{State: c.server, Type: typ, Required: []string{galene.ServerJoined.String()}}
		}
		if answer, ok := m.(*galene.Answer); ok && !c.full {
			if _, known := c.up[answer.ID]; !known {
				return errGaleneStream
			}
		}
	}
	if !c.shaken[1] && c.shaken[0] {
		return &galene.StateError{State: galene.ServerHandshaking, Type: typ, Required: []string{galene.ServerReady.String()}}
	}
	return nil
}

// joined takes what the server says of the client's stay in a group.
func (c *galeneConn) joined(m *galene.Joined) {
	switch m.Kind {
	case galene.JoinedJoin:
		c.joins = max(c.joins-1, 0)
		c.client, c.server = galene.ClientJoined, galene.ServerJoined
		c.ever, c.username = true, nil
	case galene.JoinedFail, galene.JoinedRedirect:
		// The name of an attempt that has failed may stay with the client.
		c.joins = max(c.joins-1, 0)
		if c.client == galene.ClientJoining && c.joins == 0 {
			c.client = galene.ClientReady
		}
		return
	case galene.JoinedLeave:
		c.server = galene.ServerReady
		if c.client != galene.ClientJoining {
			c.client = galene.ClientReady
		}
		c.username = nil
		clear(c.users)
		return
	}
	if m.Username != nil {
		c.username = m.Username
	}
}

// remember keeps the label of a stream.
func (c *galeneConn) remember(streams map[string]string, id, label string) {
	if _, known := streams[id]; known {
		return
	}
	if len(streams) >= maxNames {
		c.full = true
		return
	}
	streams[id] = clip(label, 40)
}

// galeneRefusal returns what a message of the server says has failed, or "".
func galeneRefusal(msg galene.Message) string {
	switch m := msg.(type) {
	case *galene.Joined:
		if m.Kind == galene.JoinedFail {
			return joinedBy(": ", string(m.Error), m.Value)
		}
	case *galene.UserMessage:
		value, _ := galene.Text(m.Value)
		if m.Privileged && m.Source == "" && (m.Kind == galene.UserMessageError || m.Error != "") {
			return joinedBy(": ", string(m.Error), value)
		}
	}
	return ""
}

// name returns what an arrow is called and what tells it from others.
func (c *galeneConn) name(msg galene.Message) (name, about string) {
	name = wireName(msg)
	with := func(kind string) string {
		if kind == "" || strings.HasPrefix(name, kind) && kind == "join" {
			return name
		}
		return name + " " + kind
	}
	switch m := msg.(type) {
	case *galene.Handshake:
		return name, joinedBy(" ", strings.Join(m.Version, ","), m.ID)
	case *galene.Join:
		return with(string(m.Kind)), joinedBy(" in ", textOf(m.Username), m.Group)
	case *galene.Joined:
		value := m.Value
		if m.Kind == galene.JoinedFail {
			value = ""
		}
		return with(string(m.Kind)), joinedBy(" ", joinedBy(" in ", textOf(m.Username), m.Group), value)
	case *galene.User:
		return with(string(m.Kind)), joinedBy(" ", textOf(m.Username), short(m.ID))
	case *galene.Chat:
		return with(string(m.Kind)), c.said(m.Username, m.Source, m.Dest, m.Value)
	case *galene.ChatHistory:
		return with(string(m.Kind)), c.said(m.Username, m.Source, "", m.Value)
	case *galene.UserMessage:
		value := m.Value
		if m.Error == "" && (m.Kind == galene.UserMessageToken || m.Kind == galene.UserMessageTokenList) {
			value = nil
		}
		return with(string(m.Kind)), c.said(m.Username, m.Source, m.Dest, value)
	case *galene.UserAction:
		return with(string(m.Kind)), c.user(m.Dest)
	case *galene.GroupAction:
		return with(string(m.Kind)), ""
	case *galene.Request:
		return name, requested(m)
	case *galene.RequestStream:
		return name, joinedBy(" ", c.stream(m.ID), kinds(m.Request))
	case *galene.Offer:
		about := joinedBy(" ", m.Label, short(m.ID))
		if m.Replace != "" {
			about += " for " + short(m.Replace)
		}
		return name, joinedBy(" from ", about, textOf(m.Username))
	case *galene.Answer:
		return name, c.stream(m.ID)
	case *galene.ICE:
		return name, joinedBy(" ", c.stream(m.ID), galeneCandidate(m))
	case *galene.Renegotiate:
		return name, c.stream(m.ID)
	case *galene.Close:
		return name, c.stream(m.ID)
	case *galene.Abort:
		return name, c.stream(m.ID)
	}
	return name, ""
}

func galeneCandidate(m *galene.ICE) string {
	init, err := m.Init()
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(candidateFold(init.Candidate).Title, "candidate: ")
}

// galeneUser returns the name of the client's user if a message of a side tells it.
func galeneUser(from capture.Side, msg galene.Message) string {
	switch m := msg.(type) {
	case *galene.Join:
		if from == capture.Client && m.Kind == galene.JoinJoin {
			return textOf(m.Username)
		}
	case *galene.Joined:
		if from == capture.Server && (m.Kind == galene.JoinedJoin || m.Kind == galene.JoinedChange) {
			return textOf(m.Username)
		}
	}
	return ""
}

// user returns the name of a user, or its id.
func (c *galeneConn) user(id string) string {
	if name := c.users[id]; name != "" {
		return name
	}
	return short(id)
}

// stream returns what a stream is called.
func (c *galeneConn) stream(id string) string {
	label := c.up[id]
	if label == "" {
		label = c.down[id]
	}
	return joinedBy(" ", label, short(id))
}

// said returns who said what to whom. What is no text is not shown: it may be a token.
func (c *galeneConn) said(username *string, source, dest string, value json.RawMessage) string {
	from := textOf(username)
	if from == "" && source != "" {
		from = c.user(source)
	}
	if dest != "" && dest != c.id {
		from += " to " + c.user(dest)
	}
	text, _ := galene.Text(value)
	return joinedBy(": ", from, clip(text, 60))
}

// requested returns what a request wants.
func requested(m *galene.Request) string {
	var parts []string
	for label, wanted := range m.Request {
		if label == "" {
			label = "all"
		}
		parts = append(parts, clip(label, 40)+": "+kinds(wanted))
	}
	for label, wanted := range m.Tracks {
		parts = append(parts, clip(label, 40)+": "+clip(string(wanted), 20))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

func kinds(tracks []galene.TrackKind) string {
	var b strings.Builder
	for i, kind := range tracks {
		if i > 4 {
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(clip(string(kind), 20))
	}
	return b.String()
}

// wireName returns the type of a message of Galène.
func wireName(msg galene.Message) string {
	if m, ok := msg.(*galene.Unknown); ok {
		return m.Type
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", msg), "*galene.")
	if name == "RequestStream" {
		return "requestStream"
	}
	return strings.ToLower(name)
}
