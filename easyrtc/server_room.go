package easyrtc

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// An application is a world of its own: nobody in it knows of the others.
type application struct {
	name     string
	byClient bool // made by a login
	clients  int  // that are logged in
	field    FieldMap
	rooms    map[string]*room
	vacant   []*room // those that clients have made and nobody is in, by name
	sessions map[string]*session
}

// A room holds those who are told of each other.
type room struct {
	name     string
	app      *application
	byClient bool // made by a join
	field    FieldMap
	members  []*membership // in the order of joining
}

// A membership is a client's stay in a room.
type membership struct {
	conn     *conn
	room     *room
	since    int64 // in ms of Unix time
	apiField json.RawMessage
	entry    *Occupant // replaced, never changed
}

// A session is what connections that say the same easyrtcsid share.
type session struct {
	sid   string
	field FieldMap
	conns []*conn
}

func (s *session) remove(c *conn) {
	s.conns = slices.DeleteFunc(s.conns, func(other *conn) bool { return other == c })
}

// AddApplication makes an application, with fields besides those that each begins with, or
// gives one that exists these fields. Clients hear of them when they log in.
func (m *ServerMachine) AddApplication(name string, field FieldMap) { m.application(name, field) }

func (m *ServerMachine) application(name string, field FieldMap) *application {
	app := m.apps[name]
	if app == nil {
		app = &application{
			name: strings.Clone(name), field: m.cfg.ApplicationField,
			rooms: make(map[string]*room), sessions: make(map[string]*session),
		}
		m.apps[app.name] = app
		if !m.cfg.NoDefaultRoom {
			app.add(m.cfg.DefaultRoom, m.cfg.RoomField)
		}
	}
	if app.byClient {
		app.byClient = false
		m.made--
	}
	app.field = withFields(app.field, field)
	return app
}

func (a *application) add(name string, field FieldMap) *room {
	r := &room{name: strings.Clone(name), app: a, field: field} // a part of a message would keep all of it
	a.rooms[r.name] = r
	return r
}

// mayMake reports whether a login may make one more application.
func (m *ServerMachine) mayMake() bool {
	return m.cfg.Applications <= 0 || m.made < m.cfg.Applications || m.deserted() != nil
}

// deserted returns the first application by name that a client has made and in which nobody
// is, or nil.
func (m *ServerMachine) deserted() (first *application) {
	for _, app := range m.apps {
		if app.byClient && app.clients == 0 && (first == nil || app.name < first.name) {
			first = app
		}
	}
	return first
}

// makeApplication makes an application for a login. If there are too many, one goes.
func (m *ServerMachine) makeApplication(name string) *application {
	if m.cfg.Applications > 0 && m.made >= m.cfg.Applications {
		delete(m.apps, m.deserted().name)
		m.made--
	}
	app := m.application(name, nil)
	app.byClient = true
	m.made++
	return app
}

// AddRoom makes a room, and its application if need be, with fields besides those that each
// begins with. If it exists it gets these fields, and all in it are told.
func (m *ServerMachine) AddRoom(now time.Time, application, name string, field FieldMap) ServerEffects {
	var fx ServerEffects
	app := m.apps[application]
	if app == nil {
		app = m.application(application, nil)
	}
	r := app.rooms[name]
	if r == nil {
		app.add(name, withFields(m.cfg.RoomField, field))
		return fx
	}
	app.occupy(r)
	r.byClient = false
	if len(field) == 0 {
		return fx
	}
	r.field = withFields(r.field, field)
	data := &RoomDataData{RoomData: map[string]*Room{
		name: {RoomName: name, RoomStatus: RoomStatusUpdate, Field: r.field},
	}}
	for _, mb := range r.members {
		m.emit(&fx, now, mb.conn, &RoomData{MsgData: data})
	}
	return fx
}

// SetSessionField changes fields of the session of a client, whose connections are told.
// Without a session it reports false.
func (m *ServerMachine) SetSessionField(now time.Time, id PeerID, field FieldMap) (fx ServerEffects, ok bool) {
	c := m.conns[id]
	if c == nil || c.session == nil {
		return fx, false
	}
	s := c.session
	s.field = withFields(s.field, field)
	data := &SessionDataData{SessionData: &Session{EasyrtcSID: s.sid, SessionStatus: SessionStatusUpdate, Field: s.field}}
	for _, c := range s.conns {
		m.emit(&fx, now, c, &SessionData{MsgData: data})
	}
	return fx, true
}

// Push sends a client what the server application has for it: a [*Msg], an [*ICEConfig], a
// [*ForwardToURL], an [*ErrorMessage], or any other event. It reports false unless the
// client is logged in.
func (m *ServerMachine) Push(now time.Time, id PeerID, msg Message) (fx ServerEffects, ok bool) {
	c := m.conns[id]
	if c == nil || c.state != ServerReady || msg.packet() == nil || msg.event() == "" {
		return fx, false
	}
	m.emit(&fx, now, c, clone(msg))
	return fx, true
}

// ThrowOut disconnects a client, whose carrier stays open; see [Closing] for the other way.
func (m *ServerMachine) ThrowOut(now time.Time, id PeerID) ServerEffects {
	var fx ServerEffects
	if c := m.conns[id]; c != nil && (c.state == ServerConnected || c.state == ServerReady) {
		m.throwOut(&fx, now, c)
	}
	return fx
}

// Rooms returns the rooms of an application by name; nil when there is none of that name.
func (m *ServerMachine) Rooms(application string) map[string]ListedRoom {
	app := m.apps[application]
	if app == nil {
		return nil
	}
	list := make(map[string]ListedRoom, len(app.rooms))
	for name, r := range app.rooms {
		list[name] = ListedRoom{RoomName: name, NumberClients: len(r.members)}
	}
	return list
}

// Occupants returns who is in a room, in the order of joining. They must not be changed.
func (m *ServerMachine) Occupants(application, name string) (occupants []*Occupant) {
	if app := m.apps[application]; app != nil && app.rooms[name] != nil {
		for _, mb := range app.rooms[name].members {
			occupants = append(occupants, mb.entry)
		}
	}
	return occupants
}

// questions returns what the application is asked about rooms to be joined.
func (a *application) questions(rooms map[string]RoomRequest) (questions []RoomQuestion) {
	for _, name := range slices.Sorted(maps.Keys(rooms)) {
		q := RoomQuestion{Name: name, New: a == nil || a.rooms[name] == nil}
		if p := rooms[name].RoomParameter; isContainer(p) {
			q.Parameter = p
		}
		questions = append(questions, q)
	}
	return questions
}

// Why a room is not joined, besides what the application says.
var (
	errNoRoom   = NewError(CodeMsgRejectBadRoom)
	errRoomFull = NewError(CodeMsgRejectBadRoom)
)

// roomsIn returns the rooms that a command names.
func roomsIn(msg Message) map[string]RoomRequest {
	switch msg := msg.(type) {
	case *RoomJoin:
		return msg.MsgData.RoomJoin
	case *RoomLeave:
		return msg.MsgData.RoomLeave
	}
	return nil
}

// tooMany reports whether these are more rooms than a connection may be in.
func (m *ServerMachine) tooMany(rooms map[string]RoomRequest) bool {
	return m.cfg.RoomsEach > 0 && len(rooms) > m.cfg.RoomsEach
}

// entries are rooms that a message joins, and how many of them have been found free but
// are not joined yet.
type entries struct {
	rooms   map[string]RoomRequest
	entered int // in which the connection was not
	made    int // which did not exist
	size    int // of the answer, in bytes
}

// maxAnswer bounds what a message that joins rooms is told of them, in bytes; one room may
// always be told of.
const maxAnswer = DefaultQueueBytes

// checkRoom returns why a connection may not join a room, or nil. A room that is full is so
// for its members, too, as in the original.
func (m *ServerMachine) checkRoom(c *conn, app *application, name string, coming *entries, d Decision) *Error {
	if err := d.Rooms[name].Refuse; err != nil {
		return err
	}
	exists, members, rooms := !m.cfg.NoDefaultRoom && name == m.cfg.DefaultRoom, 0, 0
	if app != nil {
		r := app.rooms[name]
		if exists, rooms = r != nil, len(app.rooms); exists {
			members = len(r.members)
		}
	} else if !m.cfg.NoDefaultRoom {
		rooms = 1
	}
	if app != nil && app.rooms[name] != nil {
		size := app.rooms[name].size()
		if coming.size > 0 && coming.size+size > maxAnswer {
			return errRoomFull
		}
		coming.size += size
	}
	isMember := c.membership(name) != nil
	more := rooms + coming.made + 1 - m.cfg.Rooms
	switch {
	case m.cfg.RoomsEach > 0 && !isMember && len(c.rooms)+coming.entered >= m.cfg.RoomsEach,
		m.cfg.RoomConnections > 0 && members >= m.cfg.RoomConnections:
		return errRoomFull
	case exists:
	case m.cfg.NoNewRooms, d.Rooms[name].MustExist:
		return errNoRoom
	case m.cfg.Rooms > 0 && more > 0 && (app == nil || !app.canForget(more, coming.rooms)):
		return errRoomFull
	default:
		coming.made++
	}
	if !isMember {
		coming.entered++
	}
	return nil
}

// canForget reports whether so many rooms are vacant besides those that are about to be
// joined.
func (a *application) canForget(n int, joined map[string]RoomRequest) bool {
	for _, r := range a.vacant {
		if _, keep := joined[r.name]; !keep {
			n--
		}
		if n <= 0 {
			return true
		}
	}
	return false
}

// forget deletes the first room by name of those that canForget counts.
func (a *application) forget(joined map[string]RoomRequest) {
	for _, r := range a.vacant {
		if _, keep := joined[r.name]; !keep {
			a.occupy(r)
			delete(a.rooms, r.name)
			return
		}
	}
}

// vacate notes that the last member of a room that a client has made has left it.
func (a *application) vacate(r *room) {
	if i, found := a.vacancy(r); !found {
		a.vacant = slices.Insert(a.vacant, i, r)
	}
}

// occupy notes that a room is no longer one that is vacant, if it was.
func (a *application) occupy(r *room) {
	if i, found := a.vacancy(r); found {
		a.vacant = slices.Delete(a.vacant, i, i+1)
	}
}

// vacancy returns where a room is among those that are vacant, or would be.
func (a *application) vacancy(r *room) (i int, found bool) {
	return slices.BinarySearchFunc(a.vacant, r.name, func(r *room, name string) int { return strings.Compare(r.name, name) })
}

func (c *conn) membership(room string) *membership {
	for _, mb := range c.rooms {
		if mb.room.name == room {
			return mb
		}
	}
	return nil
}

// joinRoom lets a connection in, with the message that joins all these rooms, and tells
// those who are there. One that is there already is told of again.
func (m *ServerMachine) joinRoom(
	fx *ServerEffects, now time.Time, c *conn, name string, joined map[string]RoomRequest, field FieldMap,
) {
	r := c.app.rooms[name]
	if r == nil {
		if m.cfg.Rooms > 0 && len(c.app.rooms) >= m.cfg.Rooms {
			c.app.forget(joined)
		}
		r = c.app.add(name, withFields(m.cfg.RoomField, field))
		r.byClient = true
	}
	mb := c.membership(name)
	if mb == nil {
		mb = &membership{conn: c, room: r, since: now.UnixMilli()}
		mb.refresh()
		c.rooms = append(c.rooms, mb)
		if len(r.members) == 0 {
			c.app.occupy(r)
		}
		r.members = append(r.members, mb)
	}
	m.tellRoom(fx, now, mb)
}

// leaveRoom lets a connection out, and tells those who stay.
func (m *ServerMachine) leaveRoom(fx *ServerEffects, now time.Time, mb *membership) {
	r, c := mb.room, mb.conn
	isIt := func(other *membership) bool { return other == mb }
	c.rooms = slices.DeleteFunc(c.rooms, isIt)
	r.members = slices.DeleteFunc(r.members, isIt)
	if len(r.members) == 0 {
		switch {
		case !r.byClient:
		case m.cfg.DropEmptyRooms:
			delete(r.app.rooms, r.name)
		default:
			r.app.vacate(r)
		}
		return
	}
	data := r.update(&ClientListDelta{RemoveClient: map[string]RemovedClient{c.id: {EasyrtcID: c.id}}})
	for _, other := range r.members {
		m.emit(fx, now, other.conn, &RoomData{MsgData: data})
	}
}

// refresh makes the entries of a client anew, after something of it has changed.
func (c *conn) refresh() {
	for _, mb := range c.rooms {
		mb.refresh()
	}
}

func (mb *membership) refresh() {
	mb.entry = &Occupant{
		EasyrtcID: mb.conn.id, RoomJoinTime: mb.since, Presence: mb.conn.presence, APIField: mb.apiField,
	}
	if mb.conn.username != "" {
		mb.entry.Username = new(mb.conn.username)
	}
}

// update returns a change of a room's clients, for all of them.
func (r *room) update(delta *ClientListDelta) *RoomDataData {
	return &RoomDataData{RoomData: map[string]*Room{
		r.name: {RoomName: r.name, RoomStatus: RoomStatusUpdate, ClientListDelta: delta},
	}}
}

func (mb *membership) delta() *ClientListDelta {
	return &ClientListDelta{UpdateClient: map[string]*Occupant{mb.conn.id: mb.entry}}
}

// joined returns a room as who has joined it sees it.
func (r *room) joined() *Room {
	list := make(map[string]*Occupant, len(r.members))
	for _, mb := range r.members {
		list[mb.conn.id] = mb.entry
	}
	return &Room{RoomName: r.name, RoomStatus: RoomStatusJoin, ClientList: list, Field: orNil(r.field)}
}

// size estimates the length of what joined returns, as [size] does.
func (r *room) size() (n int) {
	for _, mb := range r.members {
		n += 180 + len(mb.apiField) + sizeOfPresence(mb.conn.presence)
	}
	return n
}

// tellRoom tells the others in a room how a client is now.
func (m *ServerMachine) tellRoom(fx *ServerEffects, now time.Time, mb *membership) {
	if len(mb.room.members) == 1 {
		return
	}
	data := mb.room.update(mb.delta())
	for _, other := range mb.room.members {
		if other != mb {
			m.emit(fx, now, other.conn, &RoomData{MsgData: data})
		}
	}
}

// tellAll tells all who share a room with a client how it is now: each with one message
// about the rooms that they share.
func (m *ServerMachine) tellAll(fx *ServerEffects, now time.Time, c *conn) {
	if len(c.rooms) == 1 {
		m.tellRoom(fx, now, c.rooms[0])
		return
	}
	type sharing struct {
		rooms []*membership
		key   []byte // which of c's these are
	}
	var others []*conn
	shared := make(map[*conn]*sharing)
	for i, mb := range c.rooms {
		for _, other := range mb.room.members {
			if other.conn == c {
				continue
			}
			with := shared[other.conn]
			if with == nil {
				with = new(sharing)
				shared[other.conn] = with
				others = append(others, other.conn)
			}
			with.rooms = append(with.rooms, mb)
			with.key = binary.AppendUvarint(with.key, uint64(i))
		}
	}
	same := make(map[string]*RoomDataData)
	for _, other := range others {
		with := shared[other]
		data := same[string(with.key)]
		if data == nil {
			data = updates(with.rooms)
			same[string(with.key)] = data
		}
		m.emit(fx, now, other, &RoomData{MsgData: data})
	}
}

// updates returns how a client is now in several rooms.
func updates(rooms []*membership) *RoomDataData {
	data := &RoomDataData{RoomData: make(map[string]*Room, len(rooms))}
	for _, mb := range rooms {
		data.RoomData[mb.room.name] = &Room{
			RoomName: mb.room.name, RoomStatus: RoomStatusUpdate, ClientListDelta: mb.delta(),
		}
	}
	return data
}

// join makes a connection one of a session, which may be new.
func (a *application) join(c *conn, sid string, limit int) *session {
	s := a.sessions[sid]
	if s == nil {
		if limit > 0 && len(a.sessions) >= limit {
			a.forgetSession()
		}
		s = &session{sid: strings.Clone(sid)}
		a.sessions[s.sid] = s
	}
	s.conns = append(s.conns, c)
	return s
}

// forgetSession deletes a session that no connection has, the first by name; there is one
// unless there are as many connections as sessions.
func (a *application) forgetSession() {
	first := ""
	for sid, s := range a.sessions {
		if len(s.conns) == 0 && (first == "" || sid < first) {
			first = sid
		}
	}
	delete(a.sessions, first)
}
