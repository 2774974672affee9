package easyrtc

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"
)

// auth takes an event of a login.
func (m *ServerMachine) auth(fx *ServerEffects, now time.Time, c *conn, msg Message, id ID) {
	login, ok := msg.(*Authenticate)
	var err *Error
	if !ok {
		err = ErrLoginBadAuth
	} else if e := validate(login, m.rules); e != nil {
		err = errorOf(e)
	}
	if _, acks := id.Number(); !acks {
		m.throwOut(fx, now, c) // as the original does, who could not say why
		return
	}
	if err != nil {
		m.failLogin(fx, now, c, id, err)
		return
	}
	d := login.MsgData
	if m.tooMany(d.RoomJoin) {
		m.failLogin(fx, now, c, id, ErrLoginGenFail)
		return
	}
	q := Question{Ticket: m.ticket(c), Message: login, Client: c.info()}
	if q.Client.Application = m.cfg.DefaultApplication; d.ApplicationName != nil {
		q.Client.Application = *d.ApplicationName
	}
	if d.Username != nil {
		q.Client.Username = *d.Username
	}
	if d.EasyrtcSID != nil {
		q.Client.EasyrtcSID = *d.EasyrtcSID
	}
	q.Rooms = m.apps[q.Client.Application].questions(m.roomsOf(login))
	c.asked = login
	fx.Ask = append(fx.Ask, q)
}

// failLogin refuses a login. Nothing of it has been carried out.
func (m *ServerMachine) failLogin(fx *ServerEffects, now time.Time, c *conn, id ID, err *Error) {
	m.refuse(fx, now, c, id, err)
	m.throwOut(fx, now, c)
}

// roomsOf returns the rooms that a login joins.
func (m *ServerMachine) roomsOf(login *Authenticate) map[string]RoomRequest {
	if len(login.MsgData.RoomJoin) > 0 {
		return login.MsgData.RoomJoin
	}
	if m.cfg.NoDefaultRoom {
		return nil
	}
	return map[string]RoomRequest{m.cfg.DefaultRoom: {RoomName: m.cfg.DefaultRoom}}
}

// login carries out a login, or none of it.
func (m *ServerMachine) login(fx *ServerEffects, now time.Time, c *conn, msg *Authenticate, d Decision) {
	rooms := m.roomsOf(msg)
	name := m.cfg.DefaultApplication
	if msg.MsgData.ApplicationName != nil {
		name = *msg.MsgData.ApplicationName
	}
	app := m.apps[name]
	if err := m.checkLogin(c, app, rooms, d); err != nil {
		m.failLogin(fx, now, c, msg.ID, err)
		return
	}
	if app == nil {
		app = m.makeApplication(name)
		if r := app.rooms[m.cfg.DefaultRoom]; r != nil {
			r.field = withFields(r.field, d.Rooms[r.name].Field)
		}
	}
	if d.EasyrtcID != "" && d.EasyrtcID != c.id {
		delete(m.ids, c.id)
		c.id = strings.Clone(d.EasyrtcID)
		m.ids[c.id] = c
	}
	m.identify(now, c, app, msg.MsgData, d)
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		m.joinRoom(fx, now, c, room, rooms, d.Rooms[room].Field)
	}
	m.reply(fx, c, msg.ID, &Token{MsgData: m.token(now, c)})
	m.tellAll(fx, now, c)
}

// checkLogin returns why a login fails, or nil.
func (m *ServerMachine) checkLogin(c *conn, app *application, rooms map[string]RoomRequest, d Decision) *Error {
	switch {
	case d.Refuse != nil:
		return d.Refuse
	case app == nil && (m.cfg.NoNewApplications || !m.mayMake()):
		return NewError(CodeLoginAppAuthFail)
	case c.app != nil && c.app != app: // a connection stays in its application
		return NewError(CodeLoginAppAuthFail)
	case d.EasyrtcID != "" && d.EasyrtcID != c.id && (m.ids[d.EasyrtcID] != nil || c.state == ServerReady ||
		!m.rules.EasyrtcID(d.EasyrtcID) || d.EasyrtcID == proto):
		return ErrLoginGenFail
	}
	coming := entries{rooms: rooms}
	for _, name := range slices.Sorted(maps.Keys(rooms)) {
		switch err := m.checkRoom(c, app, name, &coming, d); {
		case err == nil:
		case err == errNoRoom:
			return ErrLoginBadRoom
		case err == errRoomFull:
			return ErrLoginGenFail
		default:
			return err
		}
	}
	return nil
}

// identify makes a connection that of a client.
func (m *ServerMachine) identify(now time.Time, c *conn, app *application, login *AuthenticateData, d Decision) {
	if c.state != ServerReady {
		c.state, c.app, c.until = ServerReady, app, time.Time{}
		app.clients++
		c.presence = &Presence{Show: ShowChat}
		c.field = maps.Clone(m.cfg.ConnectionField)
	}
	if sid := login.EasyrtcSID; sid != nil && (c.session == nil || c.session.sid != *sid) {
		if c.session != nil {
			c.session.remove(c)
		}
		c.session = app.join(c, *sid, m.cfg.Sessions)
	}
	if c.session != nil && len(d.SessionField) > 0 {
		c.session.field = withFields(c.session.field, d.SessionField)
	}
	c.field = withFields(c.field, d.Field)
	switch {
	case d.Anonymous:
		c.username = ""
	case d.Username != "":
		c.username = strings.Clone(d.Username) // it may be a part of the message
	case login.Username != nil:
		c.username = strings.Clone(*login.Username)
	}
	if login.Credential != nil {
		c.credential = nil
		if len(login.Credential) <= MaxCredential {
			c.credential = bytes.Clone(login.Credential)
		}
	}
	if login.SetPresence != nil {
		c.presence = changed(c.presence, login.SetPresence)
	}
	c.ice = d.ICEServers
	c.refresh()
	m.stillAlive(now, c)
}

// stillAlive puts the end of a client off that has shown that it lives.
func (m *ServerMachine) stillAlive(now time.Time, c *conn) {
	if m.cfg.StillAliveInterval > 0 && m.cfg.StillAliveGrace >= 0 {
		m.deadline(now, c, m.cfg.StillAliveInterval+m.cfg.StillAliveGrace)
	} else {
		m.alarm.Clear(c.peer)
	}
}

// changed returns a presence after a change.
func changed(p *Presence, change *PresenceUpdate) *Presence {
	out := *p
	if change.Show != nil {
		out.Show = Show(strings.Clone(string(*change.Show)))
	}
	if change.Status != nil {
		out.Status = new(strings.Clone(*change.Status))
	}
	if change.Type != nil {
		out.Type = compact(change.Type)
	}
	return &out
}

// withFields returns fields with others, without a change of either.
func withFields(fields, others FieldMap) FieldMap {
	if len(others) == 0 {
		return fields
	}
	out := maps.Clone(fields)
	if out == nil {
		out = make(FieldMap, len(others))
	}
	maps.Copy(out, others)
	return out
}

// token returns what a client hears after its login.
func (m *ServerMachine) token(now time.Time, c *conn) *TokenData {
	t := &TokenData{
		RoomData:    make(map[string]*Room, len(c.rooms)),
		Application: &Application{ApplicationName: c.app.name, Field: orNil(c.app.field)},
		EasyrtcID:   c.id,
		ICEConfig:   &ICEServers{ICEServers: m.iceServers(c.ice)},
		ServerTime:  now.UnixMilli(),
		Field:       orNil(c.field),
	}
	for _, mb := range c.rooms {
		t.RoomData[mb.room.name] = mb.room.joined()
	}
	if c.session != nil {
		t.SessionData = &Session{EasyrtcSID: c.session.sid, Field: orNil(c.session.field)}
	}
	if m.cfg.StillAliveInterval > 0 {
		t.StillAliveInterval = new(m.cfg.StillAliveInterval.Milliseconds())
	}
	return t
}

func (m *ServerMachine) iceServers(own []ICEServer) []ICEServer {
	if own != nil {
		return own
	}
	return m.cfg.ICEServers
}

// orNil leaves an empty map out of a message.
func orNil(fields FieldMap) FieldMap {
	if len(fields) == 0 {
		return nil
	}
	return fields
}
