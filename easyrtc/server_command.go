package easyrtc

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// command carries out a command or a message of a client that is logged in. It has been
// validated, and the application lets it happen.
func (m *ServerMachine) command(fx *ServerEffects, now time.Time, c *conn, msg Message, d Decision) {
	id := msg.packet().ID
	switch msg := msg.(type) {
	case *Offer:
		m.relay(fx, now, c, id, msg.TargetEasyrtcID, &Offer{
			Packet: passed(msg.Packet), SenderEasyrtcID: c.id, MsgData: msg.MsgData,
		})
	case *Answer:
		m.relay(fx, now, c, id, msg.TargetEasyrtcID, &Answer{
			Packet: passed(msg.Packet), SenderEasyrtcID: c.id, MsgData: msg.MsgData,
		})
	case *Candidate:
		m.relay(fx, now, c, id, msg.TargetEasyrtcID, &Candidate{
			Packet: passed(msg.Packet), SenderEasyrtcID: c.id, MsgData: msg.MsgData,
		})
	case *Reject:
		m.relay(fx, now, c, id, msg.TargetEasyrtcID, &Reject{SenderEasyrtcID: c.id})
	case *Hangup:
		m.relay(fx, now, c, id, msg.TargetEasyrtcID, &Hangup{SenderEasyrtcID: c.id})
	case *Msg:
		m.message(fx, now, c, msg, d)
	case *RoomJoin:
		m.join(fx, now, c, msg, d)
	case *RoomLeave:
		m.depart(fx, now, c, msg)
	case *SetRoomAPIField:
		m.setAPIField(fx, now, c, msg)
	case *SetPresence:
		c.presence = changed(c.presence, msg.MsgData.SetPresence)
		c.refresh()
		m.reply(fx, c, id, &RoomData{MsgData: updates(c.rooms)})
		m.tellAll(fx, now, c)
	case *GetICEConfig:
		if d.ICEServers != nil {
			c.ice = d.ICEServers
		}
		m.reply(fx, c, id, &ICEConfig{MsgData: &ICEConfigData{
			ICEConfig: &ICEServers{ICEServers: m.iceServers(c.ice)},
		}})
	case *GetRoomList:
		m.reply(fx, c, id, &RoomList{MsgData: &RoomListData{RoomList: m.Rooms(c.app.name)}})
	case *StillAlive: // the original refuses it, or wants it; nobody minds an answer
		m.stillAlive(now, c)
		m.reply(fx, c, id, new(Ack))
	case *SetUserCfg: // nothing comes of it, as in the original
		m.reply(fx, c, id, new(Ack))
	}
}

// passed is what remains of a packet on its way to another client.
func passed(p Packet) Packet { return Packet{Attachments: p.Attachments, checked: p.checked} }

// relay hands a signal to another client of the application, which need not share a room
// with the sender.
func (m *ServerMachine) relay(fx *ServerEffects, now time.Time, c *conn, id ID, target string, msg Message) {
	to := m.target(c, target)
	if to == nil {
		m.refuse(fx, now, c, id, ErrNoTarget)
		return
	}
	m.emit(fx, now, to, msg)
	m.reply(fx, c, id, new(Ack))
}

// target returns a client of the same application, or nil.
func (m *ServerMachine) target(c *conn, easyrtcid string) *conn {
	to := m.ids[easyrtcid]
	if to == nil || to.app != c.app || to.state != ServerReady {
		return nil
	}
	return to
}

// checkTarget returns why a message has no receiver, or nil.
func (m *ServerMachine) checkTarget(c *conn, msg *Msg) *Error {
	switch {
	case msg.TargetEasyrtcID != "" && msg.TargetEasyrtcID == c.id:
		return ErrNoTarget
	case msg.TargetEasyrtcID != "":
		to := m.target(c, msg.TargetEasyrtcID)
		switch {
		case to == nil:
			return ErrGenFail
		case msg.TargetRoom != "" && (c.membership(msg.TargetRoom) == nil || to.membership(msg.TargetRoom) == nil):
			return ErrNoTargetRoom
		case msg.TargetGroup != "":
			return ErrNoTargetGroup
		}
	case msg.TargetRoom != "" && c.membership(msg.TargetRoom) == nil:
		return ErrNoTargetRoom
	case msg.TargetRoom == "" && msg.TargetGroup != "":
		return ErrNoTargetGroup
	}
	return nil
}

// message hands a message of the application to its receivers. Who gets it is the server's
// word, and so is who sent it: nothing else of the message is handed on.
func (m *ServerMachine) message(fx *ServerEffects, now time.Time, c *conn, msg *Msg, d Decision) {
	if err := m.checkTarget(c, msg); err != nil { // somebody may have gone while the application was asked
		m.refuse(fx, now, c, msg.ID, err)
		return
	}
	out := Msg{
		Packet: passed(msg.Packet), MsgType: msg.MsgType, SenderEasyrtcID: c.id, MsgData: msg.MsgData,
		TargetEasyrtcID: msg.TargetEasyrtcID, TargetRoom: msg.TargetRoom,
	}
	switch {
	case msg.TargetEasyrtcID != "":
		m.emit(fx, now, m.target(c, msg.TargetEasyrtcID), &out)
	case msg.TargetRoom != "" && msg.TargetGroup == "": // a group has no members
		for _, mb := range c.membership(msg.TargetRoom).room.members {
			if mb.conn != c {
				m.emit(fx, now, mb.conn, copied(&out))
			}
		}
	case msg.TargetRoom == "" && d.Reply != nil:
		m.reply(fx, c, msg.ID, clone(d.Reply))
		return
	}
	m.reply(fx, c, msg.ID, new(Ack))
}

// join lets a client into rooms. Those that it may not join do not keep it out of the
// others, although it is told nothing but that there was one.
func (m *ServerMachine) join(fx *ServerEffects, now time.Time, c *conn, msg *RoomJoin, d Decision) {
	rooms := msg.MsgData.RoomJoin
	names := slices.Sorted(maps.Keys(rooms))
	var refused *Error
	size := 0
	for _, name := range names {
		coming := &entries{rooms: rooms, size: size}
		err := m.checkRoom(c, c.app, name, coming, d)
		if size = coming.size; err != nil {
			if refused == nil {
				refused = err
			}
			continue
		}
		m.joinRoom(fx, now, c, name, rooms, d.Rooms[name].Field)
	}
	if refused != nil {
		m.refuse(fx, now, c, msg.ID, refused)
		return
	}
	data := &RoomDataData{RoomData: make(map[string]*Room, len(names))}
	for _, name := range names {
		data.RoomData[name] = c.membership(name).room.joined()
	}
	m.reply(fx, c, msg.ID, &RoomData{MsgData: data})
}

// depart lets a client out of rooms, in which it need not be.
func (m *ServerMachine) depart(fx *ServerEffects, now time.Time, c *conn, msg *RoomLeave) {
	data := &RoomDataData{RoomData: make(map[string]*Room)}
	for _, name := range slices.Sorted(maps.Keys(msg.MsgData.RoomLeave)) {
		if mb := c.membership(name); mb != nil {
			m.leaveRoom(fx, now, mb)
		}
		data.RoomData[name] = &Room{RoomName: name, RoomStatus: RoomStatusLeave}
	}
	m.reply(fx, c, msg.ID, &RoomData{MsgData: data})
}

// setAPIField replaces what a client shows of itself in a room.
func (m *ServerMachine) setAPIField(fx *ServerEffects, now time.Time, c *conn, msg *SetRoomAPIField) {
	s := msg.MsgData.SetRoomAPIField
	mb := c.membership(s.RoomName)
	if mb == nil {
		m.refuse(fx, now, c, msg.ID, ErrBadRoom)
		return
	}
	if mb.apiField = compact(s.Field); isEmpty(s.Field) {
		mb.apiField = nil
	}
	mb.refresh()
	m.tellRoom(fx, now, mb)
	m.reply(fx, c, msg.ID, &RoomData{MsgData: mb.room.update(mb.delta())})
}

// compact returns a copy of a checked JSON value that is kept and sent to many, without
// white space, which the limits do not count.
func compact(value json.RawMessage) json.RawMessage {
	if value == nil {
		return nil
	}
	var b bytes.Buffer
	_ = json.Compact(&b, value) // never fails
	return bytes.Clone(b.Bytes())
}
