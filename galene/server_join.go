package galene

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// join begins or ends a stay in a group.
func (m *ServerMachine) join(fx *ServerEffects, p *peer, msg *Join) {
	switch {
	case msg.Kind == JoinLeave && (p.group == nil || p.group.desc.Name != msg.Group):
		m.fatal(fx, p, transport.StatusNormal, "you are not joined")
	case msg.Kind == JoinLeave:
		m.leave(fx, p)
	case msg.Kind != JoinJoin:
		m.fatal(fx, p, transport.StatusProtocolError, "unknown kind")
	case p.group != nil:
		m.fatal(fx, p, transport.StatusProtocolError, "cannot join multiple groups")
	case p.system != "":
		m.record(fx, p)
	case !ValidName(msg.Group) || len(msg.Group) > nameBytes:
		m.refuse(fx, p, msg, ErrIllegalGroupName)
	case m.cfg.DataBytes > 0 && sizeOf(msg.Data) > m.cfg.DataBytes:
		m.refuse(fx, p, msg, &Error{Text: "user data too big"})
	default:
		join := *msg
		join.Group = strings.Clone(msg.Group) // which outlives the rest, as the name of a group
		m.ask(fx, p, Question{Message: &join})
	}
}

// admit lets a client into a group if the group's state allows it.
func (m *ServerMachine) admit(fx *ServerEffects, p *peer, msg *Join, d Decision) {
	if d.Refuse == nil && d.Group == nil {
		d.Refuse = ErrInternal
	}
	if d.Refuse != nil {
		m.refuse(fx, p, msg, d.Refuse)
		return
	}
	g := m.group(fx, msg.Group, d.Group)
	err := g.refusal(p, d.Grant, m.now)
	if err == nil && m.cfg.Members >= 0 && len(g.members) >= m.cfg.Members {
		err = ErrTooManyUsers
	}
	if err != nil {
		refusal := *err
		refusal.Username = d.Grant.Username
		m.refuse(fx, p, msg, &refusal)
		m.forget(g)
		return
	}
	p.username, p.data = strings.Clone(d.Grant.Username), msg.Data.clone()
	p.permissions = slices.Clone(d.Grant.Permissions)
	m.enter(fx, p, g)
}

// refuse answers a join that did not succeed. The connection stays and may try again.
func (m *ServerMachine) refuse(fx *ServerEffects, p *peer, msg *Join, err *Error) {
	username := err.Username
	j := &Joined{Kind: JoinedFail, Error: err.ID, Group: msg.Group, Username: &username, Value: err.Text}
	if err.Redirect != "" {
		j.Kind, j.Value, j.Error = JoinedRedirect, err.Redirect, ""
	}
	fx.send(p, j)
}

// enter makes a connection a member.
func (m *ServerMachine) enter(fx *ServerEffects, p *peer, g *group) {
	p.state, p.group, p.down, p.until = ServerJoined, g, make(map[string]*stream), time.Time{}
	others := g.members
	g.add(p)
	m.groups[g.desc.Name] = g // its last member may have been thrown out just now
	m.empty = slices.DeleteFunc(m.empty, func(other *group) bool { return other == g })
	fx.send(p, m.status(p, JoinedJoin))
	for _, h := range g.remembered(m.now) {
		fx.send(p, h)
	}
	p.arrival = nil
	arrival := p.introduction()
	fx.send(p, arrival)
	for _, other := range others {
		fx.send(p, other.introduction())
	}
	for _, other := range others {
		fx.send(other, arrival)
	}
	if m.cfg.Media {
		fx.Media = append(fx.Media, MediaEvent{p.id, &Joined{Kind: JoinedJoin, Group: g.desc.Name}})
	} else {
		m.settle(fx, g)
	}
}

// record lets a recorder into its group.
func (m *ServerMachine) record(fx *ServerEffects, p *peer) {
	g, ok := m.groups[p.system]
	switch {
	case !ok || g.recorder != p: // the recording is over
		m.drop(fx, p, transport.StatusNormal, "")
		return
	case !g.admits(p.client):
		m.drop(fx, p, transport.StatusInternalError, "")
		return
	}
	p.username, p.permissions = "RECORDING", Permissions{PermissionSystem}
	m.enter(fx, p, g)
}

// status returns what a member is told about its group and itself.
func (m *ServerMachine) status(p *peer, kind JoinedKind) *Joined {
	g := p.group
	count := len(g.members)
	username := p.username
	d := g.desc
	return &Joined{
		Kind: kind, Username: &username, Permissions: slices.Clone(p.permissions), Group: d.Name,
		Status: &Status{
			Name: d.Name, DisplayName: d.DisplayName, Description: d.Description,
			AuthServer: d.AuthServer, AuthPortal: d.AuthPortal,
			Locked: g.locked != nil, ClientCount: &count, CanChangePassword: d.CanChangePassword,
		},
		Data: g.data, RTCConfiguration: m.cfg.RTCConfiguration,
	}
}

// userOf returns what members are told about one of them.
func userOf(p *peer, kind UserKind) *User {
	username := p.username
	u := &User{Kind: kind, ID: p.client, Username: &username}
	if kind != UserDelete {
		u.Permissions, u.Data = p.permissions, p.data
	}
	return u
}

// introduction returns what those who join are told about a member.
func (p *peer) introduction() *User {
	if p.arrival == nil {
		p.arrival = userOf(p, UserAdd)
	}
	return p.arrival
}

// changed tells everybody of a group what has changed in it.
func (m *ServerMachine) changed(fx *ServerEffects, g *group) {
	for _, p := range g.members {
		fx.send(p, m.status(p, JoinedChange))
	}
}

// leave ends a stay in a group and tells the connection, unless it is gone.
func (m *ServerMachine) leave(fx *ServerEffects, p *peer) {
	g := p.group
	if g == nil {
		return
	}
	for len(p.up) > 0 {
		m.endStream(fx, p.up[0], true)
	}
	g.remove(p)
	for _, other := range g.members {
		m.endDown(fx, other, p)
	}
	if m.peers[p.id] == p {
		left := m.status(p, JoinedLeave)
		left.Permissions, left.Data = nil, nil
		fx.send(p, left)
	}
	fx.broadcast(g, userOf(p, UserDelete))
	if m.cfg.Media {
		fx.Media = append(fx.Media, MediaEvent{p.id, &Joined{Kind: JoinedLeave, Group: g.desc.Name}})
	}
	p.state, p.group, p.username, p.permissions, p.data, p.down, p.lost, p.request = ServerReady, nil, "", nil, nil, nil, nil, nil
	m.deserted(fx, g)
	if !m.cfg.Media {
		m.settle(fx, g)
	}
	if g.recording && len(g.others(nil)) == 0 {
		m.endRecording(fx, g)
	}
	m.forget(g)
}

// deserted locks a group, or throws everybody out, once there is no operator left.
func (m *ServerMachine) deserted(fx *ServerEffects, g *group) {
	if g.hasOperator() {
		return
	}
	if g.desc.Autolock && g.locked == nil {
		text := ErrLocked.Text
		g.locked = &text
		m.changed(fx, g)
	}
	if g.desc.Autokick {
		for _, p := range slices.Clone(g.members) {
			if p.group == g { // the end of one may have ended others
				m.kick(fx, p, "", nil, ErrNoOperators.Text)
			}
		}
	}
}

// kick ends a member's connection.
func (m *ServerMachine) kick(fx *ServerEffects, p *peer, by string, byName *string, text string) {
	reason := "kicked out"
	if text != "" {
		reason += " (" + text + ")"
	}
	if byName != nil && *byName != "" {
		reason += " by " + *byName
	}
	fx.send(p, &UserMessage{
		Kind: UserMessageKicked, ID: by, Username: byName, Dest: p.client, Privileged: true,
		Value: NewText(cmp.Or(text, "you have been kicked out")),
	})
	m.drop(fx, p, transport.StatusNormal, reason)
}

// Update takes a new description of a group, which its members are told of.
func (m *ServerMachine) Update(now time.Time, desc *Group) ServerEffects {
	m.now = now
	var fx ServerEffects
	if _, ok := m.groups[desc.Name]; ok {
		m.group(&fx, desc.Name, desc)
	}
	return fx
}

// Kick throws a member out in the server's name, with a text.
func (m *ServerMachine) Kick(now time.Time, id PeerID, text string) ServerEffects {
	m.now = now
	var fx ServerEffects
	switch p, ok := m.peers[id]; {
	case !ok:
	case p.state == ServerHandshaking: // the first thing that it hears must be the handshake
		m.drop(&fx, p, transport.StatusNormal, "")
	default:
		m.kick(&fx, p, "", nil, text)
	}
	return fx
}

// occupation returns how many are in a group and whether it is locked.
func (m *ServerMachine) occupation(name string) (members int, locked bool) {
	g, ok := m.groups[name]
	if !ok {
		return 0, false
	}
	return len(g.members), g.locked != nil
}

// occupied returns the names of the groups that somebody is in, in any order.
func (m *ServerMachine) occupied() []string {
	var names []string
	for name, g := range m.groups {
		if len(g.members) > 0 {
			names = append(names, name)
		}
	}
	return names
}
