package galene

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// sendJoin takes a join that is about to be sent.
func (m *ClientMachine) sendJoin(now time.Time, msg Message, join *Join) error {
	if join.Kind == JoinLeave && join.Group != m.group {
		return invalid("join", "group", "is not the client's")
	}
	m.joining = msg
	if join.Kind == JoinLeave {
		m.state = ClientLeaving
	} else {
		m.state, m.join = ClientJoining, join
		m.clear()
	}
	if m.cfg.CallTimeout > 0 {
		m.answer = now.Add(m.cfg.CallTimeout)
	}
	return nil
}

func (m *ClientMachine) joined(fx *Effects, now time.Time, msg *Joined) {
	waiting := m.state == ClientJoining
	switch msg.Kind {
	case JoinedJoin:
		if !waiting {
			return
		}
		m.bound.Keep(msg)
		m.state, m.group = ClientJoined, cmp.Or(msg.Group, m.join.Group)
		m.update(msg)
		m.data = msg.Data
		m.initial = 1 // oneself
		if s := msg.Status; s != nil && s.ClientCount != nil {
			m.initial = *s.ClientCount
		}
		m.initial -= len(m.users) // whom the oldest servers have told of already
		m.done(fx, msg, nil)
		if m.again {
			fx.Deliver = append(fx.Deliver, &Reconnected{})
			if m.request != nil {
				fx.Send = append(fx.Send, m.request)
			}
		} else {
			m.request = nil
		}
		m.again = false
		if m.cfg.RequestAgain > 0 {
			m.repeat = now.Add(m.cfg.RequestAgain)
		}
	case JoinedChange:
		if m.group == "" {
			return
		}
		m.bound.Keep(msg)
		same := samePermissions(m.permissions, msg.Permissions)
		m.update(msg)
		m.deleted = nil
		switch {
		case msg.Data != nil:
			m.data = msg.Data
		case same: // after a change of permissions data is left out
			m.deleted, m.data = m.data, nil
		}
	case JoinedFail, JoinedRedirect:
		if !waiting {
			return
		}
		m.refused(fx, msg)
		return
	case JoinedLeave:
		if m.group == "" {
			return
		}
		m.leave()
		m.done(fx, msg, nil)
	}
	fx.Deliver = append(fx.Deliver, msg)
}

// refused takes the failure of a join.
func (m *ClientMachine) refused(fx *Effects, msg *Joined) {
	err := &Error{ID: msg.Error, Text: msg.Value}
	if msg.Kind == JoinedRedirect {
		err = &Error{Text: "group is elsewhere", Redirect: msg.Value}
	}
	if msg.Username != nil {
		err.Username = *msg.Username
	}
	m.state = ClientReady
	if m.again {
		// What has to do with the credentials will not change; a lock may.
		final := err.Redirect != "" || err.ID != "" ||
			err.Is(ErrNotAuthorised) || err.Is(ErrNoGroup) || err.Is(ErrIllegalGroupName)
		m.close(fx, transport.StatusNormal, "", err, final)
		return
	}
	m.join = nil
	m.done(fx, msg, err)
}

// done tells the application what became of its join.
func (m *ClientMachine) done(fx *Effects, msg *Joined, err error) {
	if m.joining != nil {
		fx.Done = append(fx.Done, Reply{Request: m.joining, Response: msg, Err: err})
	}
	m.joining, m.answer = nil, time.Time{}
}

// update takes what the server says about the client and its group.
func (m *ClientMachine) update(msg *Joined) {
	m.permissions = msg.Permissions
	m.learn(m.permissions)
	if msg.Username != nil {
		m.username = *msg.Username
	}
	if msg.Status != nil {
		m.status = msg.Status
	}
	if !jsonx.IsNull(msg.RTCConfiguration) {
		m.rtc = msg.RTCConfiguration
	}
}

// leave forgets the group.
func (m *ClientMachine) leave() {
	m.state = ClientReady
	m.join, m.request, m.repeat = nil, nil, time.Time{}
	m.clear()
	m.group = ""
}

// clear forgets what belongs to a stay in a group.
func (m *ClientMachine) clear() {
	m.username, m.permissions, m.status, m.data, m.deleted = "", nil, nil, nil, nil
	m.users = make(map[string]*User)
	m.up, m.down, m.ended = make(map[string]bool), make(map[string]bool), make(map[string]bool)
	m.aborted, m.early = make(map[string]bool), nil
	m.initial = 0
}

func samePermissions(a, b Permissions) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// hears reports whether what the server says may be about the client's group. Servers before
// 0.5 tell of its members or its history first, and say only then that the client has joined.
func (m *ClientMachine) hears() bool { return m.group != "" || m.state == ClientJoining }

func (m *ClientMachine) user(fx *Effects, msg *User) {
	if !m.hears() {
		return
	}
	m.learn(msg.Permissions)
	m.changes++
	if msg.Kind != UserDelete {
		m.bound.Keep(msg)
	}
	switch msg.Kind {
	case UserAdd:
		if old := m.users[msg.ID]; old != nil {
			msg.Initial = old.Initial
		} else {
			msg.Initial = m.initial > 0 || m.state == ClientJoining
			m.initial--
		}
		m.users[msg.ID] = msg
	case UserChange:
		old := m.users[msg.ID]
		if old != nil {
			msg.Initial = old.Initial
		}
		m.users[msg.ID] = msg
		if msg.ID == m.id {
			m.restore(old, msg)
		}
	case UserDelete:
		delete(m.users, msg.ID)
	}
	fx.Deliver = append(fx.Deliver, msg)
}

// restore takes a change of the client's own user. One in which nothing has changed follows
// the change of permissions that the client had already; the data of the group was left out
// then as well.
func (m *ClientMachine) restore(old, msg *User) {
	same := old != nil && samePermissions(old.Permissions, msg.Permissions) &&
		maps.EqualFunc(old.Data, msg.Data, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
	if same && m.deleted != nil {
		m.data = m.deleted
	}
	m.deleted = nil
}

// members returns the users in the order of their ids.
func (m *ClientMachine) members() []*User {
	users := make([]*User, 0, len(m.users))
	for _, id := range slices.Sorted(maps.Keys(m.users)) {
		users = append(users, m.users[id])
	}
	return users
}

func (m *ClientMachine) userMessage(fx *Effects, msg *UserMessage) {
	ofServer := msg.Privileged && msg.Source == "" // operators are privileged, too
	if ofServer && m.reply(fx, msg) {
		return
	}
	if ofServer && msg.Kind == UserMessageKicked {
		text, _ := Text(msg.Value)
		m.kicked = &KickedError{By: msg.ID, Message: text}
		m.restarting = msg.ID == "" && text == shuttingDown
		if msg.Username != nil {
			m.kicked.ByName = *msg.Username
		}
	}
	fx.Deliver = append(fx.Deliver, msg)
}

// shuttingDown is what Galène says before it stops.
const shuttingDown = "server is shutting down"

// reply gives an answer of the server to the oldest action that waits for one of its kind.
func (m *ClientMachine) reply(fx *Effects, msg *UserMessage) bool {
	i := slices.IndexFunc(m.pending, func(p pendingCall) bool { return p.isAnswered(msg) })
	if i < 0 {
		return false
	}
	p := m.pending[i]
	m.pending = slices.Delete(m.pending, i, i+1)
	if p.request != nil {
		fx.Done = append(fx.Done, Reply{Request: p.request, Response: msg, Err: outcome(msg)})
	}
	return true
}

// isAnswered reports whether msg is what the action waits for. An identification names its
// user, and is refused in words, if at all.
func (p pendingCall) isAnswered(msg *UserMessage) bool {
	action, ok := p.request.(*UserAction)
	switch {
	case !ok:
		return p.answer == msg.Kind
	case msg.Kind == UserMessageError:
		text, _ := Text(msg.Value)
		return text == noClient
	}
	info, err := msg.UserInfo()
	return err == nil && info.ID == action.Dest
}

// noClient is what Galène says of a client that an operator wants to be identified, and of
// nothing else.
const noClient = "client not found"

// outcome returns what is wrong with the answer to an action.
func outcome(msg *UserMessage) (err error) {
	switch msg.Kind {
	case UserMessageError:
		return &Error{Text: noClient}
	case UserMessageToken:
		_, err = msg.Token()
	case UserMessageTokenList:
		_, err = msg.Tokens()
	case UserMessageUserInfo:
		_, err = msg.UserInfo()
	}
	return err
}
