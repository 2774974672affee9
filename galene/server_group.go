package galene

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A group is one that somebody is in, or that has something to remember.
type group struct {
	desc    *Group
	members []*peer // in the order in which they came
	byID    map[string]*peer
	streams map[string]*stream
	locked  *string // what those hear who cannot join
	data    Fields
	history []*ChatHistory
	times   []time.Time // of the history
	bytes   int         // of its values
	left    time.Time   // when the last member did

	recording bool  // a recorder is here, or has been asked for
	recorder  *peer // once it is connected
}

// group returns a group by its name, as it is described now.
func (m *ServerMachine) group(fx *ServerEffects, name string, desc *Group) *group {
	if desc.Name != name {
		renamed := *desc
		renamed.Name = name
		desc = &renamed
	}
	g, ok := m.groups[name]
	if !ok {
		g = &group{desc: desc, byID: make(map[string]*peer), streams: make(map[string]*stream)}
		m.groups[name] = g
	}
	if !g.desc.equal(desc) {
		g.desc = desc
		m.changed(fx, g)
	}
	m.deserted(fx, g)
	return g
}

// refusal returns why a client may not join a group although its credentials are right.
func (g *group) refusal(p *peer, grant Grant, now time.Time) *Error {
	d := g.desc
	switch op := grant.Permissions.Has(PermissionOp); {
	case d.Redirect != "":
		return &Error{Text: "group is elsewhere", Redirect: d.Redirect}
	case len(grant.Username) > nameBytes, grant.Username != "" && !ValidName(grant.Username):
		return ErrNotAuthorised
	case op:
	case g.locked != nil:
		return &Error{Text: cmp.Or(*g.locked, ErrLocked.Text)}
	case !d.NotBefore.IsZero() && d.NotBefore.After(now):
		return ErrNotOpenYet
	case !d.Expires.IsZero() && d.Expires.Before(now):
		return ErrClosed
	case d.Autokick && !g.hasOperator():
		return ErrNoOperators
	case d.MaxClients > 0 && len(g.members) >= d.MaxClients:
		return ErrTooManyUsers
	}
	if !g.admits(p.client) {
		return ErrInternal
	}
	return nil
}

// nameBytes is the length of the longest name of a group or a user, and of the longest id of
// a client: they go with every word that a member says to all the others.
const nameBytes = 1 << 10

// admits reports whether a client may have an id in the group.
func (g *group) admits(client string) bool {
	return client != "" && len(client) <= nameBytes && g.byID[client] == nil
}

func (g *group) add(p *peer) {
	g.members = append(slices.Clip(g.members), p)
	g.byID[p.client] = p
}

func (g *group) remove(p *peer) {
	g.members = slices.DeleteFunc(slices.Clone(g.members), func(other *peer) bool { return other == p })
	delete(g.byID, p.client)
}

func (g *group) hasOperator() bool {
	return slices.ContainsFunc(g.members, func(p *peer) bool { return p.permissions.Has(PermissionOp) })
}

// forget drops a group that nobody is in, at once if it has nothing to remember and when
// there are too many of them otherwise.
func (m *ServerMachine) forget(g *group) {
	if len(g.members) > 0 || m.groups[g.desc.Name] != g {
		return
	}
	m.empty = slices.DeleteFunc(m.empty, func(other *group) bool { return other == g })
	locks := g.locked != nil && (!g.desc.Autolock || *g.locked != ErrLocked.Text) // otherwise it locks itself again
	if len(g.history) == 0 && !locks && len(g.data) == 0 {
		delete(m.groups, g.desc.Name)
		return
	}
	g.left = m.now
	m.empty = append(m.empty, g)
	for len(m.empty) > 0 && (m.cfg.EmptyGroups >= 0 && len(m.empty) > m.cfg.EmptyGroups || m.obsolete(m.empty[0])) {
		delete(m.groups, m.empty[0].desc.Name)
		m.empty = m.empty[1:]
	}
}

func (m *ServerMachine) obsolete(g *group) bool { return m.now.Sub(g.left) > g.age() }

func (g *group) age() time.Duration { return cmp.Or(g.desc.HistoryAge, DefaultHistoryAge) }

// remember adds a chat message to the history.
func (m *ServerMachine) remember(g *group, h *ChatHistory) {
	g.history, g.times, g.bytes = append(g.history, h), append(g.times, m.now), g.bytes+h.bytes()
	drop := 0
	for drop < len(g.history) && (m.cfg.HistoryMessages >= 0 && len(g.history)-drop > m.cfg.HistoryMessages ||
		m.cfg.HistoryBytes >= 0 && g.bytes > m.cfg.HistoryBytes) {
		g.bytes -= g.history[drop].bytes()
		drop++
	}
	g.keep(func(i int) bool { return i >= drop })
}

// bytes returns how much of a history a message is.
func (m *ChatHistory) bytes() int { return len(m.Kind) + len(m.ID) + len(m.Value) }

// remembered returns the history without what is too old.
func (g *group) remembered(now time.Time) []*ChatHistory {
	g.keep(func(i int) bool { return now.Sub(g.times[i]) <= g.age() })
	return g.history
}

// keep drops the messages of the history that it is not told to keep.
func (g *group) keep(keep func(i int) bool) {
	history, times, bytes := g.history[:0], g.times[:0], 0
	for i, h := range g.history {
		if keep(i) {
			history, times, bytes = append(history, h), append(times, g.times[i]), bytes+h.bytes()
		}
	}
	clear(g.history[len(history):])
	g.history, g.times, g.bytes = history, times, bytes
}

// chat forwards a chat message.
func (m *ServerMachine) chat(fx *ServerEffects, p *peer, msg *Chat) {
	required := PermissionMessage
	if msg.Kind == ChatCaption {
		required = PermissionCaption
	}
	if !m.joined(fx, p) || !m.may(fx, p, required) {
		return
	}
	g, public := p.group, msg.Dest == ""
	id := msg.ID
	switch {
	case public && id == "":
		id = m.newID()
	case public && slices.ContainsFunc(g.history, func(h *ChatHistory) bool { return h.ID == id }):
		m.fail(fx, p, "duplicate message id")
		return
	}
	username := p.username
	out := &Chat{
		Kind: msg.Kind, ID: id, Source: p.client, Dest: msg.Dest, Username: &username,
		Privileged: p.permissions.Has(PermissionOp), Value: present(msg.Value), NoEcho: msg.NoEcho, Time: NewTime(m.now),
	}
	if public {
		m.remember(g, &ChatHistory{
			Kind: ChatKind(strings.Clone(string(out.Kind))), ID: strings.Clone(id), Source: p.client, Username: &username,
			Value: bytes.Clone(out.Value), Time: out.Time,
		})
	}
	m.forward(fx, p, out, out.Dest, out.NoEcho)
}

// present returns a value, and nil for a null, which Galène does not pass on, either.
func present(value json.RawMessage) json.RawMessage {
	if jsonx.IsNull(value) {
		return nil
	}
	return value
}

// serverKinds are the user messages that only a server may send, because clients believe
// them.
var serverKinds = []UserMessageKind{
	UserMessageKicked, UserMessageToken, UserMessageTokenList, UserMessageUserInfo,
}

// userMessage forwards a user message.
func (m *ServerMachine) userMessage(fx *ServerEffects, p *peer, msg *UserMessage) {
	if !m.joined(fx, p) || !m.may(fx, p, PermissionMessage) {
		return
	}
	if slices.Contains(serverKinds, msg.Kind) {
		m.fail(fx, p, ErrNotAuthorised.Text)
		return
	}
	username := p.username
	m.forward(fx, p, &UserMessage{
		Kind: msg.Kind, ID: msg.ID, Source: p.client, Dest: msg.Dest, Username: &username,
		Privileged: p.permissions.Has(PermissionOp), Value: present(msg.Value), NoEcho: msg.NoEcho, Time: NewTime(m.now),
	}, msg.Dest, msg.NoEcho)
}

// forward sends a message of a member to one or all.
func (m *ServerMachine) forward(fx *ServerEffects, p *peer, msg Message, dest string, noEcho bool) {
	if dest == "" {
		fx.Send = slices.Grow(fx.Send, len(p.group.members))
		for _, other := range p.group.members {
			if other != p || !noEcho {
				fx.send(other, msg)
			}
		}
		return
	}
	switch other := p.group.byID[dest]; {
	case other == nil:
		m.fail(fx, p, "user unknown")
	case !other.isUser():
		m.fail(fx, p, "this user doesn't chat")
	default:
		fx.send(other, msg)
	}
}

func (m *ServerMachine) userAction(fx *ServerEffects, p *peer, msg *UserAction) {
	target := p.group.byID[msg.Dest]
	switch msg.Kind {
	case UserOp, UserUnop, UserPresent, UserUnpresent, UserShutUp, UserUnshutUp:
		switch {
		case !m.may(fx, p, PermissionOp):
		case target == nil:
			m.fail(fx, p, "no suck user") // sic
		case !target.isUser():
			m.fail(fx, p, "this is not a real user")
		default:
			m.permit(fx, target, msg.Kind)
		}
	case UserKick:
		switch {
		case !m.may(fx, p, PermissionOp):
		case target == nil:
			m.fail(fx, p, "no such user")
		default:
			text, _ := Text(msg.Value)
			username := p.username
			m.kick(fx, target, p.client, &username, text)
		}
	case UserIdentify:
		switch {
		case !m.may(fx, p, PermissionOp):
		case target == nil:
			m.fail(fx, p, "client not found")
		default:
			if target.isUser() {
				m.tell(fx, target, UserMessageWarning, "Your IP address has been communicated to user "+p.username+".")
			}
			info := &UserInfo{ID: target.client, Username: target.username, Address: target.address}
			m.answer(fx, p, UserMessageUserInfo, value(info))
		}
	case UserSetData:
		if msg.Dest != p.client {
			m.fail(fx, p, ErrNotAuthorised.Text)
			return
		}
		if data, ok := m.merged(fx, p, p.data, msg.Value); ok {
			p.data, p.arrival = data, nil
			fx.broadcast(p.group, userOf(p, UserChange))
		}
	default:
		m.fatal(fx, p, transport.StatusNormal, "unknown user action")
	}
}

// permit changes a member's permissions.
func (m *ServerMachine) permit(fx *ServerEffects, p *peer, kind UserActionKind) {
	p.permissions, p.arrival = slices.Clone(p.permissions), nil // others may be reading the old ones
	set := func(permission Permission, has bool) {
		p.permissions = slices.DeleteFunc(p.permissions, func(other Permission) bool { return other == permission && !has })
		if has && !p.permissions.Has(permission) {
			p.permissions = append(p.permissions, permission)
		}
	}
	switch kind {
	case UserOp:
		set(PermissionOp, true)
		if p.group.desc.AllowRecording {
			set(PermissionRecord, true)
		}
	case UserUnop:
		set(PermissionOp, false)
		set(PermissionRecord, false)
	case UserPresent, UserUnpresent:
		set(PermissionPresent, kind == UserPresent)
	case UserShutUp, UserUnshutUp:
		set(PermissionMessage, kind == UserUnshutUp)
	}
	changed := m.status(p, JoinedChange)
	changed.Data = nil // as Galène has it
	fx.send(p, changed)
	if !p.permissions.Has(PermissionPresent) {
		for len(p.up) > 0 {
			s := p.up[0]
			m.endStream(fx, s, true)
			m.failStream(fx, p, s.id, "permission denied")
		}
	}
	fx.broadcast(p.group, userOf(p, UserChange))
}

// merged returns data with the members of an object put in, or tells what is wrong with
// that.
func (m *ServerMachine) merged(fx *ServerEffects, p *peer, data Fields, value json.RawMessage) (Fields, bool) {
	if !jsonx.IsObject(value) {
		m.fail(fx, p, "Bad value in setdata")
		return nil, false
	}
	var more struct {
		Extra Fields `json:"-"`
	}
	if err := jsonx.Unmarshal(value, &more); err != nil {
		m.fail(fx, p, "Bad value in setdata")
		return nil, false
	}
	merged := maps.Clone(data)
	if merged == nil {
		merged = make(Fields)
	}
	for name, v := range more.Extra {
		if jsonx.IsNull(v) {
			delete(merged, name)
		} else {
			merged[name] = v
		}
	}
	if m.cfg.DataBytes > 0 && sizeOf(merged) > m.cfg.DataBytes {
		m.fail(fx, p, "too much data")
		return nil, false
	}
	return merged, true
}

// clone returns data that does not hold the message that it came with.
func (f Fields) clone() Fields {
	if f == nil {
		return nil
	}
	c := make(Fields, len(f))
	for name, v := range f {
		c[strings.Clone(name)] = bytes.Clone(v)
	}
	return c
}

func (m *ServerMachine) groupAction(fx *ServerEffects, p *peer, msg *GroupAction) {
	g := p.group
	switch msg.Kind {
	case GroupClearChat:
		m.clearChat(fx, p, msg)
	case GroupLock, GroupUnlock:
		if !m.may(fx, p, PermissionOp) {
			return
		}
		g.locked = nil
		if msg.Kind == GroupLock {
			text, _ := Text(msg.Value)
			g.locked = &text
		}
		m.changed(fx, g)
	case GroupRecord, GroupUnrecord:
		m.recording(fx, p, msg.Kind == GroupRecord)
	case GroupSubgroups:
		if m.may(fx, p, PermissionOp) {
			server := "Server"
			fx.send(p, &Chat{
				Dest: p.client, Username: &server, Value: NewText(m.subgroups(g.desc.Name)), Time: NewTime(m.now),
			})
		}
	case GroupSetData:
		if !m.may(fx, p, PermissionOp) {
			return
		}
		if data, ok := m.merged(fx, p, g.data, msg.Value); ok {
			g.data = data
			m.changed(fx, g)
		}
	case GroupMakeToken, GroupEditToken, GroupListTokens:
		m.tokenAction(fx, p, msg)
	default:
		m.fatal(fx, p, transport.StatusNormal, "unknown group action")
	}
}

func (m *ServerMachine) clearChat(fx *ServerEffects, p *peer, msg *GroupAction) {
	if !m.may(fx, p, PermissionOp) {
		return
	}
	c := new(ClearChat)
	if !jsonx.IsNull(msg.Value) {
		var err error
		if c, err = clearChatOf("groupaction", msg.Value); err != nil {
			m.fail(fx, p, "bad value in clearchat")
			return
		}
	}
	p.group.keep(func(i int) bool {
		h := p.group.history[i]
		return (c.ID != "" || c.UserID != "") && (h.Source != c.UserID || c.ID != "" && h.ID != c.ID)
	})
	fx.broadcast(p.group, &UserMessage{Kind: UserMessageClearChat, Privileged: true, Value: present(msg.Value)})
}

// recording begins or ends the recording of a group.
func (m *ServerMachine) recording(fx *ServerEffects, p *peer, begin bool) {
	if !m.may(fx, p, PermissionRecord) {
		return
	}
	g := p.group
	switch {
	case !begin:
		m.endRecording(fx, g)
	case g.recording:
		m.fail(fx, p, "already recording")
	case !m.cfg.Recorder:
		m.fail(fx, p, "this server does not record")
	default:
		g.recording = true
		fx.Record = append(fx.Record, g.desc.Name)
	}
}

// endRecording sends the recorder of a group away, or makes that it finds itself unwanted
// when it comes.
func (m *ServerMachine) endRecording(fx *ServerEffects, g *group) {
	r := g.recorder
	g.recording, g.recorder = false, nil
	if r != nil {
		m.drop(fx, r, transport.StatusNormal, "")
	}
}

// unrecorded says that the recorder of a group could not be connected.
func (m *ServerMachine) unrecorded(name string) {
	if g := m.groups[name]; g != nil && g.recorder == nil {
		g.recording = false
	}
}

// subgroups lists the groups below one that somebody is in.
func (m *ServerMachine) subgroups(name string) string {
	var b strings.Builder
	for _, below := range slices.Sorted(maps.Keys(m.groups)) {
		n := len(m.groups[below].members)
		if n == 0 || !strings.HasPrefix(below, name+"/") {
			continue
		}
		plural := ""
		if n > 1 {
			plural = "s"
		}
		fmt.Fprintf(&b, "%s (%d client%s)\n", below, n, plural)
	}
	return b.String()
}

// tokenAction checks a token action and asks the driver to carry it out.
func (m *ServerMachine) tokenAction(fx *ServerEffects, p *peer, msg *GroupAction) {
	refuse := func(err *Error) { m.tokens(fx, p, msg, Decision{Refuse: err}) }
	required := Permissions{PermissionOp, PermissionToken}
	if msg.Kind == GroupMakeToken {
		required = required[1:]
	}
	for _, r := range required {
		if !p.permissions.Has(r) {
			refuse(errTokenNotAuthorised)
			return
		}
	}
	q := Question{Message: msg, Group: p.group.desc.Name}
	if msg.Kind != GroupListTokens {
		r, err := msg.TokenRequest()
		if err != nil {
			refuse(err.(*Error))
			return
		}
		t, refusal := m.token(p, msg.Kind, r)
		if refusal != nil {
			refuse(refusal)
			return
		}
		q.Token = t
	}
	m.ask(fx, p, q)
}

var errTokenNotAuthorised = &Error{ID: ErrorNotAuthorised, Text: ErrNotAuthorised.Text}

// token returns the token that a request makes, or for an edit the one with the new times.
func (m *ServerMachine) token(p *peer, kind GroupActionKind, r *TokenRequest) (*Token, *Error) {
	bad := func(text string) (*Token, *Error) { return nil, &Error{ID: ErrorOther, Text: text} }
	t := &Token{Token: r.Token, Group: r.Group, Username: r.Username, Permissions: r.Permissions}
	if at := r.Expires.at(m.now); !at.IsZero() {
		t.Expires = at.Format(time.RFC3339Nano)
	}
	if at := r.NotBefore.at(m.now); !at.IsZero() {
		t.NotBefore = at.Format(time.RFC3339Nano)
	}
	if kind == GroupEditToken {
		if r.Group != "" || r.Username != nil || r.Permissions != nil {
			return bad("this field cannot be edited")
		}
		return t, nil
	}
	switch {
	case r.Token != "":
		return bad("client specified token")
	case r.Group != p.group.desc.Name:
		return bad("wrong group in token")
	case t.Expires == "":
		return bad("token doesn't expire")
	case r.Username != nil && slices.Contains(p.group.desc.Users, *r.Username):
		return bad("that username is taken")
	}
	for _, permission := range r.Permissions {
		if !p.permissions.Has(permission) {
			return nil, errTokenNotAuthorised
		}
	}
	t.Token, t.IssuedAt = m.newID(), m.now.UTC().Format(time.RFC3339Nano)
	if p.username != "" {
		username := p.username
		t.IssuedBy = &username
	}
	return t, nil
}

// tokens answers a token action.
func (m *ServerMachine) tokens(fx *ServerEffects, p *peer, msg *GroupAction, d Decision) {
	out := &UserMessage{Kind: UserMessageToken, Privileged: true}
	if msg.Kind == GroupListTokens {
		out.Kind = UserMessageTokenList
	}
	switch {
	case d.Refuse == nil && msg.Kind != GroupListTokens && len(d.Tokens) != 1:
		d.Refuse = ErrInternal
		fallthrough
	case d.Refuse != nil:
		out.Error, out.Value = cmp.Or(d.Refuse.ID, ErrorOther), NewText(d.Refuse.Text)
	case msg.Kind == GroupListTokens:
		b := []byte{'['}
		for i, t := range d.Tokens {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, value(t)...)
		}
		out.Value = append(b, ']')
	default:
		out.Value = value(d.Tokens[0])
	}
	fx.send(p, out)
}

// answer sends what a member has asked for.
func (m *ServerMachine) answer(fx *ServerEffects, p *peer, kind UserMessageKind, value json.RawMessage) {
	fx.send(p, &UserMessage{Kind: kind, Privileged: true, Value: value})
}
