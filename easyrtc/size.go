package easyrtc

// size estimates the encoded length of a message in bytes, with its attachments: what its
// texts have, and something for the names of the members and all that is short.
func size(m Message) int {
	const names = 160
	n := names
	for _, a := range attachments(m) {
		n += len(a)
	}
	switch m := m.(type) {
	case *Offer:
		return n + len(m.MsgData)
	case *Answer:
		return n + len(m.MsgData)
	case *Candidate:
		return n + len(m.MsgData)
	case *Msg:
		return n + len(m.MsgType) + len(m.MsgData)
	case *Authenticate:
		if m.MsgData != nil {
			n += len(m.MsgData.Credential) + names*len(m.MsgData.RoomJoin)
		}
	case *SetRoomAPIField:
		if m.MsgData != nil && m.MsgData.SetRoomAPIField != nil {
			n += len(m.MsgData.SetRoomAPIField.Field)
		}
	case *Token:
		if m.MsgData != nil {
			n += 4*names + sizeOfRooms(m.MsgData.RoomData)
		}
	case *RoomData:
		if m.MsgData != nil {
			n += sizeOfRooms(m.MsgData.RoomData)
		}
	case *shared:
		return n + sizeOfRooms(m.MsgData.RoomData)
	case *RoomList:
		if m.MsgData != nil {
			n += names * len(m.MsgData.RoomList)
		}
	case *ICEConfig:
		if m.MsgData != nil && m.MsgData.ICEConfig != nil {
			n += names * len(m.MsgData.ICEConfig.ICEServers)
		}
	case *Unknown:
		for _, arg := range m.Args {
			n += len(arg)
		}
		return n + len(m.Event) + len(m.Type) + sizeOf(m.Extra)
	}
	return n
}

func sizeOfRooms(rooms map[string]*Room) (n int) {
	const names, occupant = 100, 180
	for name, r := range rooms {
		n += names + 2*len(name)
		if r == nil {
			continue
		}
		for _, o := range r.ClientList {
			n += occupant + len(o.APIField)
		}
		if r.ClientListDelta != nil {
			for _, o := range r.ClientListDelta.UpdateClient {
				n += occupant + len(o.APIField)
			}
			n += names * len(r.ClientListDelta.RemoveClient)
		}
		for name, f := range r.Field {
			n += names + 2*len(name) + len(f.FieldValue)
		}
	}
	return n
}

// sizeOf returns the length of members of any JSON.
func sizeOf(values Fields) (n int) {
	for name, value := range values {
		n += len(name) + len(value)
	}
	return n
}
