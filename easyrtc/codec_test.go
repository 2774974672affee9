package easyrtc

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// Whatever is not JSON under the rules of the module is no packet: there is nothing that
// could be answered.
func TestDecodeRefusesWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		packet string
		want   error
	}{
		{`20["easyrtcCmd",{"msgType":"offer","msgType":"offer"}]`, jsonx.ErrDuplicate},
		{`20["easyrtcCmd",{"msgType":"offer","msgTyp\u0065":"offer"}]`, jsonx.ErrDuplicate},
		{`20["easyrtcCmd",{"msgType":"offer","msgData":{"a":{"b":1,"b":1}}}]`, jsonx.ErrDuplicate},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"roomJoin":{"a":{},"a":{}}}}]`, jsonx.ErrDuplicate},
		{`20["acme",[{"a":1,"a":2}]]`, jsonx.ErrDuplicate},
		{`30[{"msgType":"ack","msgType":"ack"}]`, jsonx.ErrDuplicate},
		{`0{"sid":"a","sid":"a"}`, jsonx.ErrDuplicate},
		{"20[\"easyrtcCmd\",{\"msgType\":\"off\xffer\"}]", jsonx.ErrUTF8},
		{"20[\"easyrtcCmd\",{\"msgType\":\"offer\",\"\xed\xa0\x80\":1}]", jsonx.ErrUTF8},
		{"20[\"acme\xc0\x80\"]", jsonx.ErrUTF8},
		{"30[\"\xff\"]", jsonx.ErrUTF8},
		{"4\"\xff\"", jsonx.ErrUTF8},
		{`20["easyrtcCmd",{"msgType":"offer"}]]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer"}]["easyrtcCmd"]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer"}}]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer"},]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer",}]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer"}`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer"]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd"`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":offer}]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{'msgType':'offer'}]`, jsonx.ErrSyntax},
		{"20[\"easyrtcCmd\",{\"msgType\":\"of\nfer\"}]", jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer","msgData":01}]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer","msgData":NaN}]`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer"}]` + "\x00", jsonx.ErrSyntax},
		{"20\ufeff[\"easyrtcCmd\",{}]", jsonx.ErrSyntax},
		{`30[{"msgType":"ack"}`, jsonx.ErrSyntax},
		{`30[{"msgType":"ack"},]`, jsonx.ErrSyntax},
		{`30`, jsonx.ErrSyntax},
		{`20["easyrtcCmd",{"msgType":"offer","msgData":` + nestedArrays(64) + `}]`, jsonx.ErrDepth},
		{`20["easyrtcCmd", {"msgType":"offer","msgData":` + nestedArrays(64) + `}]`, jsonx.ErrDepth},
		{`20["acme",` + nestedArrays(65) + `]`, jsonx.ErrDepth},
		{`30[{"msgType":"m","msgData":` + nestedArrays(64) + `}]`, jsonx.ErrDepth},
		{`0{"a":` + nestedArrays(64) + `}`, jsonx.ErrDepth},
		{`20["easyrtcCmd",` + strings.Repeat("[", 1<<20), jsonx.ErrDepth},
		{`20["disconnect",{"msgType":"offer"}]`, socketio.ErrPayload},
		{`20[{"msgType":"offer"}]`, socketio.ErrPayload},
		{`20{"msgType":"offer"}`, socketio.ErrPayload},
		{`2`, jsonx.ErrSyntax},
		{`2[]`, socketio.ErrPayload},
		{`30{"msgType":"ack"}`, socketio.ErrPayload},
		{`1{}`, socketio.ErrPayload},
		{`2/foo,0["easyrtcCmd",{"msgType":"getRoomList"}]`, socketio.ErrNamespace},
		{`3/foo,0[{"msgType":"ack"}]`, socketio.ErrNamespace},
		{`27777777777777777["easyrtcCmd",{"msgType":"getRoomList"}]`, socketio.ErrID},
		{`51-0["easyrtcMsg",{"msgType":"m"}]`, socketio.ErrIncomplete},
		{``, socketio.ErrType},
		{`8`, socketio.ErrType},
	} {
		m, err := Decode([]byte(tt.packet))
		require.Nil(t, m, "%.80s", tt.packet)
		require.IsType(t, new(DecodeError), err, "%.80s", tt.packet)
		require.ErrorIs(t, err, tt.want, "%.80s", tt.packet)
		e := err.(*DecodeError)
		require.Zero(t, e.ID, "%.80s", tt.packet)
		require.Empty(t, e.Code, "%.80s", tt.packet)
		require.True(t, strings.HasPrefix(err.Error(), "easyrtc: decode: "), err.Error())
	}
}

func TestDecodeCountsTheLevelsOfEachArgument(t *testing.T) {
	t.Parallel()
	for _, packet := range []string{
		`20["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"a","msgData":` + nestedArrays(63) + `}]`,
		`20["easyrtcCmd", {"msgType":"offer","targetEasyrtcid":"a","msgData":` + nestedArrays(63) + `} ]`,
		`20["acme",` + nestedArrays(64) + `]`,
		`20["acme",{"msgType":"a","b":` + nestedArrays(63) + `}]`,
		`30[{"msgType":"m","msgData":` + nestedArrays(63) + `}]`,
		`30[` + nestedArrays(64) + `]`,
	} {
		m, err := Decode([]byte(packet))
		require.NoError(t, err, packet)
		require.NoError(t, m.Validate(), packet)
		b, err := Encode(m)
		require.NoError(t, err, packet)
		again, err := Decode(b)
		require.NoError(t, err, packet)
		require.Equal(t, m, again)
	}
}

func TestDecodeErrorsNameTheMemberAndTheEventToAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		packet string
		want   DecodeError
		text   string
	}{
		{
			`27["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":5,"msgData":[1]}]`,
			DecodeError{
				Type: "offer", Field: "targetEasyrtcid", Err: jsonx.ErrType,
				Event: EventCmd, ID: NumberID(7), Code: CodeMsgRejectBadStructure,
			},
			"easyrtc: decode offer: targetEasyrtcid: wrong JSON type",
		},
		{
			`2["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":5,"msgData":[1]}]`,
			DecodeError{
				Type: "offer", Field: "targetEasyrtcid", Err: jsonx.ErrType,
				Event: EventCmd, Code: CodeMsgRejectBadStructure,
			},
			"easyrtc: decode offer: targetEasyrtcid: wrong JSON type",
		},
		{
			`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","setPresence":{"show":1}}}]`,
			DecodeError{
				Type: "authenticate", Field: "msgData.setPresence.show", Err: jsonx.ErrType,
				Event: EventAuth, ID: NumberID(0), Code: CodeMsgRejectBadStructure,
			},
			"easyrtc: decode authenticate: msgData.setPresence.show: wrong JSON type",
		},
		{
			`20["easyrtcCmd",{"msgType":5}]`,
			DecodeError{Field: "msgType", Err: jsonx.ErrType, Event: EventCmd, ID: NumberID(0), Code: CodeMsgRejectBadType},
			"easyrtc: decode: msgType: wrong JSON type",
		},
		{
			`20["easyrtcMsg",{}]`,
			DecodeError{Field: "msgType", Err: jsonx.ErrMissing, Event: EventMsg, ID: NumberID(0), Code: CodeMsgRejectBadType},
			"easyrtc: decode: msgType: missing",
		},
		{
			`20["easyrtcCmd","offer"]`,
			DecodeError{Err: jsonx.ErrNotObject, Event: EventCmd, ID: NumberID(0), Code: CodeMsgRejectBadStructure},
			"easyrtc: decode: not a JSON object",
		},
		{ // an acknowledgement is not answered
			`30[{"msgType":"token","msgData":{"serverTime":"now"}}]`,
			DecodeError{Type: "token", Field: "msgData.serverTime", Err: jsonx.ErrType},
			"easyrtc: decode token: msgData.serverTime: wrong JSON type",
		},
		{
			`30[{"msgType":"token","msgData":{"serverTime":1e300}}]`,
			DecodeError{Type: "token", Field: "msgData.serverTime", Err: jsonx.ErrRange},
			"easyrtc: decode token: msgData.serverTime: number out of range",
		},
		{ // nor can what servers send be refused in another way
			`20["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":[]}}]`,
			DecodeError{
				Type: "roomData", Field: "msgData.roomData", Err: jsonx.ErrType,
				Event: EventCmd, ID: NumberID(0), Code: CodeMsgRejectBadType,
			},
			"easyrtc: decode roomData: msgData.roomData: wrong JSON type",
		},
	} {
		m, err := Decode([]byte(tt.packet))
		require.Nil(t, m, tt.packet)
		require.IsType(t, new(DecodeError), err, tt.packet)
		got := *err.(*DecodeError)
		got.ack = ID{} // for the client, which knows what it has asked
		require.Equal(t, tt.want, got, tt.packet)
		require.EqualError(t, err, tt.text)
	}
}

func TestErrorsOfDecodeHoldNothingOfTheText(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, packet := range []string{
		authPacket(`,"credential":{"p":"` + secret + `"},"username":5`),
		`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"credential":"` + secret + `",}}]`,
		`20["easyrtcAuth","` + secret + `"]`,
		`20["easyrtcAuth",{"msgType":["` + secret + `"]}]`,
		`20["` + secret + `",{]`,
		`9` + secret,
		`0["` + secret + `"]`,
		`2/` + secret + `,["a"]`,
	} {
		_, err := Decode([]byte(packet))
		require.Error(t, err, packet)
		require.NotContains(t, err.Error(), secret)
	}
}

// What is said of one object holds for nothing else.
func TestOnlyOneObjectIsAMessage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		packet string
		event  string
		args   int // -1: an object with a type
	}{
		{`20["easyrtcAuth"]`, EventAuth, 0},
		{`20["easyrtcCmd"]`, EventCmd, 0},
		{`20["easyrtcMsg"]`, EventMsg, 0},
		{`20["easyrtcCmd",{"msgType":"getRoomList"},{"msgType":"getRoomList"}]`, EventCmd, 2},
		{`20["easyrtcCmd",null,{"msgType":"getRoomList"}]`, EventCmd, 2},
		{`20["easyrtcMsg",{"msgType":"m"},1]`, EventMsg, 2},
		{`20["easyrtcAuth",{"msgType":"authenticate"},null]`, EventAuth, 2},
		{`20["easyrtccmd",{"msgType":"getRoomList"}]`, "easyrtccmd", -1},
		{`20["EasyrtcCmd",{"msgType":"getRoomList"}]`, "EasyrtcCmd", -1},
		{`20["easyrtcCmd ",{"msgType":"getRoomList"}]`, "easyrtcCmd ", -1},
		{`20["easyrtcCmd",{"msgType":"getroomlist"}]`, EventCmd, -1},
		{`20["easyrtcCmd",{"msgType":"authenticate"}]`, EventCmd, -1},
		{`20["easyrtcAuth",{"msgType":"offer"}]`, EventAuth, -1},
		{`20["easyrtcCmd",{"msgType":"token"}]`, EventCmd, -1},
		{`20["easyrtcCmd",{"msgType":""}]`, EventCmd, -1},
		{`20["acme",{"msgType":"getRoomList"}]`, "acme", -1},
		{`20["acme",{"msgType":5}]`, "acme", 1},
		{`20["acme",[]]`, "acme", 1},
		{`30[]`, "", 0},
		{`30[{"msgType":"ack"},{"msgType":"ack"}]`, "", 2},
		{`30["ack"]`, "", 1},
		{`30[{}]`, "", 1},
	} {
		m, err := Decode([]byte(tt.packet))
		require.NoError(t, err, tt.packet)
		require.IsType(t, new(Unknown), m, tt.packet)
		u := m.(*Unknown)
		require.Equal(t, tt.event, u.Event, tt.packet)
		require.Equal(t, tt.event == "", u.Ack, tt.packet)
		require.Equal(t, NumberID(0), u.ID, tt.packet)
		if tt.args < 0 {
			require.Nil(t, u.Args, tt.packet)
		} else {
			require.NotNil(t, u.Args, tt.packet)
			require.Len(t, u.Args, tt.args, tt.packet)
		}
		b, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, tt.packet, string(b))
	}
}

func TestSpacesAndEscapesChangeNothing(t *testing.T) {
	t.Parallel()
	want, err := Decode([]byte(`27["easyrtcMsg",{"msgType":"m","targetRoom":"a","msgData":1}]`))
	require.NoError(t, err)
	for _, packet := range []string{
		"27 [ \"easyrtcMsg\" , { \"msgType\" : \"m\" , \"targetRoom\" : \"a\" , \"msgData\" : 1 } ] ",
		"27\t[\"easyrtcMsg\",\r\n{\"msgData\":1,\"targetRoom\":\"a\",\"msgType\":\"m\"}]\n",
		`27["easyrtc\u004dsg",{"msgT\u0079pe":"m","targetRoom":"\u0061","msgData":1}]`,
		`27["easyrtcMsg",{"msgType":"\u006d","\u0074argetRoom":"a","msgData":1}]`,
		`2/,7["easyrtcMsg",{"msgType":"m","targetRoom":"a","msgData":1}]`,
		`2007["easyrtcMsg",{"msgType":"m","targetRoom":"a","msgData":1}]`,
	} {
		m, err := Decode([]byte(packet))
		require.NoError(t, err, packet)
		require.Equal(t, want, m, packet)
	}
}

func TestAcknowledgementsOfAnyTypeAreMessages(t *testing.T) {
	t.Parallel()
	for packet, want := range map[string]Message{
		`30[{"msgType":"ack"}]`:                  &Ack{},
		`30[{"msgType":"error"}]`:                &ErrorMessage{},
		`30[{"msgType":"token"}]`:                &Token{},
		`30[{"msgType":"roomData"}]`:             &RoomData{},
		`30[{"msgType":"roomList"}]`:             &RoomList{},
		`30[{"msgType":"iceConfig"}]`:            &ICEConfig{},
		`30[{"msgType":"offer"}]`:                &Msg{MsgType: "offer"},
		`30[{"msgType":"","targetRoom":"a b"}]`:  &Msg{TargetRoom: "a b"},
		`30[{"msgType":"x","msgData":null}]`:     &Msg{MsgType: "x", MsgData: json.RawMessage("null")},
		`30[{"msgType":"x","serverTime":1.0e3}]`: &Msg{MsgType: "x", ServerTime: 1000},
	} {
		*want.packet() = Packet{ID: NumberID(0), Ack: true}
		m, err := Decode([]byte(packet))
		require.NoError(t, err, packet)
		require.Equal(t, want, m, packet)
		require.NoError(t, (&Msg{Packet: Packet{Ack: true}, MsgType: "x"}).Validate())
	}
}

func TestEncodeWritesWhatIsOnlyAnAcknowledgementAsOne(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]Message{
		`3[{"msgType":"ack"}]`:       &Ack{},
		`3[{"msgType":"token"}]`:     &Token{},
		`30[{"msgType":"roomList"}]`: &RoomList{Packet: Packet{ID: NumberID(0)}},
	} {
		b, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
}

func TestEncodeRefusesWhatIsNoPacket(t *testing.T) {
	t.Parallel()
	_, err := Encode(nil)
	require.ErrorIs(t, err, errNotOnWire)
	for want, m := range map[string]Message{
		"easyrtc: encode reconnected: does not exist on the wire": &Reconnected{},
		"easyrtc: encode connect: wrong payload":                  &ConnectPacket{Payload: json.RawMessage("[]")},
		"easyrtc: encode disconnect: wrong namespace":             &DisconnectPacket{Namespace: "a"},
		"easyrtc: encode connect_error: not JSON at byte 0":       &ConnectErrorPacket{Payload: json.RawMessage("no")},
		"easyrtc: encode offer: msgData: not JSON":                &Offer{MsgData: json.RawMessage("no")},
		"easyrtc: encode hangup: targetEasyrtcid: invalid UTF-8":  &Hangup{TargetEasyrtcID: "\xff"},
		"easyrtc: encode getRoomList: msgData: nested too deeply": &GetRoomList{MsgData: json.RawMessage(nestedArrays(64))},
		"easyrtc: encode x: invalid UTF-8":                        &Unknown{Event: "\xff", Type: "x"},
		"easyrtc: encode x: not JSON at byte 1": &Unknown{
			Event: "e", Type: "x", Args: []json.RawMessage{json.RawMessage("{")},
		},
		"easyrtc: encode x: nested too deeply at byte 64": &Unknown{
			Event: "e", Type: "x", Args: []json.RawMessage{json.RawMessage(nestedArrays(65))},
		},
	} {
		b, err := Encode(m)
		require.Nil(t, b)
		require.ErrorContains(t, err, want)
	}
}

func TestEncodeDoesNotEscapeForHTML(t *testing.T) {
	t.Parallel()
	m, err := NewOffer("a", "v=0\r\n<&>\u2028\"")
	require.NoError(t, err)
	b, err := Encode(m)
	require.NoError(t, err)
	want := "2[\"easyrtcCmd\",{\"msgType\":\"offer\",\"targetEasyrtcid\":\"a\"," +
		"\"msgData\":{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n<&>\u2028\\\"\"}}]"
	require.Equal(t, want, string(b))
}

// Members stand in the order of their struct, maps in that of their names.
func TestEncodeWritesTheMembersInTheirOrder(t *testing.T) {
	t.Parallel()
	user, none := "alice", (*string)(nil)
	interval := int64(20000)
	occupant := &Occupant{
		EasyrtcID: "i", RoomJoinTime: 5, Presence: &Presence{Show: ShowChat, Status: none},
		APIField: json.RawMessage(`{"a":1}`), Username: &user, Extra: Fields{"z": json.RawMessage("1")},
	}
	m := &Token{Packet: Packet{ID: NumberID(4)}, MsgData: &TokenData{
		RoomData: map[string]*Room{
			"b": {RoomName: "b", RoomStatus: RoomStatusUpdate, ClientListDelta: &ClientListDelta{
				UpdateClient: map[string]*Occupant{}, RemoveClient: map[string]RemovedClient{"x": {EasyrtcID: "x"}},
			}},
			"a": {RoomName: "a", RoomStatus: RoomStatusJoin, ClientList: map[string]*Occupant{"i": occupant}, Field: FieldMap{}},
		},
		Application: &Application{
			ApplicationName: "app", Field: FieldMap{"f": {FieldName: "f", FieldValue: json.RawMessage("[1]")}},
		},
		EasyrtcID: "i",
		ICEConfig: &ICEServers{ICEServers: []ICEServer{
			NewICEServer("stun:a", "stun:b"),
			{URLs: URLs{List: []string{"turn:c"}, Single: true}, Username: "u", Credential: "p"},
			{URL: "stun:d"},
		}},
		ServerTime:         6,
		SessionData:        &Session{EasyrtcSID: "s"},
		StillAliveInterval: &interval,
	}}
	b, err := Encode(m)
	require.NoError(t, err)
	require.Equal(t, `34[{"msgType":"token","msgData":{"roomData":{`+
		`"a":{"roomName":"a","roomStatus":"join","clientList":{"i":{"easyrtcid":"i","roomJoinTime":5,`+
		`"presence":{"show":"chat","status":null},"apiField":{"a":1},"username":"alice","z":1}},"field":{}},`+
		`"b":{"roomName":"b","roomStatus":"update",`+
		`"clientListDelta":{"updateClient":{},"removeClient":{"x":{"easyrtcid":"x"}}}}},`+
		`"application":{"applicationName":"app","field":{"f":{"fieldName":"f","fieldValue":[1]}}},"easyrtcid":"i",`+
		`"iceConfig":{"iceServers":[{"urls":["stun:a","stun:b"]},`+
		`{"urls":"turn:c","username":"u","credential":"p"},{"url":"stun:d"}]},`+
		`"serverTime":6,"sessionData":{"easyrtcsid":"s"},"stillAliveInterval":20000}}]`, string(b))
	again, err := Decode(b)
	require.NoError(t, err)
	m.Ack = true
	require.Equal(t, m, again)
}

// Whoever reads a connection reads the next message into the same memory.
func TestDecodeKeepsNothingOfWhatItIsGiven(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		want, err := v.decode()
		if err != nil {
			continue
		}
		text := []byte(v.Wire)
		got, err := DecodeBinary(text, v.attachments)
		require.NoError(t, err, v.Name)
		var d Decoder
		next, err := d.Decode(transport.Text, text)
		require.NoError(t, err, v.Name)
		for i := range text {
			text[i] = '#'
		}
		require.Equal(t, want, got, v.Name)
		if len(v.attachments) == 0 {
			require.Equal(t, want, next, v.Name)
		}
	}
}

// Bytes that are appended to a member must not run into the next one.
func TestMembersOfAMessageDoNotGrowIntoEachOther(t *testing.T) {
	t.Parallel()
	m, err := Decode([]byte(`20["easyrtcMsg",{"msgType":"m","msgData":[1],"a":2,"targetRoom":"room"}]`))
	require.NoError(t, err)
	msg := m.(*Msg)
	_ = append(msg.MsgData, "#########"...)
	_ = append(msg.Extra["a"], "#########"...)
	require.Equal(t, "room", msg.TargetRoom)
	require.Equal(t, json.RawMessage("2"), msg.Extra["a"])
}

func TestDecoderPutsAttachmentsBehindTheirMessage(t *testing.T) {
	t.Parallel()
	d := Decoder{Limit: 200}
	const text = `52-7["easyrtcMsg",{"msgType":"bin",` +
		`"msgData":[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]}]`
	buffer := []byte(text)
	m, err := d.Decode(transport.Text, buffer)
	require.NoError(t, err)
	require.Nil(t, m)
	clear(buffer)
	m, err = d.Decode(transport.Binary, []byte("abc"))
	require.NoError(t, err)
	require.Nil(t, m)
	m, err = d.Decode(transport.Binary, nil)
	require.NoError(t, err)
	want, err := DecodeBinary([]byte(text), [][]byte{[]byte("abc"), {}})
	require.NoError(t, err)
	require.Equal(t, want, m)
	require.Equal(t, NumberID(7), m.(*Msg).ID)

	m, err = d.Decode(transport.Text, []byte(`2["easyrtcCmd",{"msgType":"getRoomList"}]`))
	require.NoError(t, err)
	require.Equal(t, &GetRoomList{}, m)
	_, err = d.Decode(transport.Binary, []byte("x"))
	require.ErrorIs(t, err, socketio.ErrBinary)
	require.IsType(t, new(DecodeError), err)
}

func TestDecoderLimitsAMessageWithItsAttachments(t *testing.T) {
	t.Parallel()
	const text = `51-["easyrtcMsg",{"msgType":"bin"}]`
	for extra, want := range map[int]error{0: nil, 1: socketio.ErrTooBig} {
		d := Decoder{Limit: len(text) + 10}
		_, err := d.Decode(transport.Text, []byte(text))
		require.NoError(t, err)
		_, err = d.Decode(transport.Binary, bytes.Repeat([]byte("a"), 10+extra))
		require.ErrorIs(t, err, want)

		d = Decoder{Limit: len(text) - 1 + extra}
		if _, err = d.Decode(transport.Text, []byte(text)); extra == 0 {
			require.ErrorIs(t, err, socketio.ErrTooBig)
		} else {
			require.NoError(t, err)
		}
	}
	var unlimited Decoder
	_, err := unlimited.Decode(transport.Text, []byte(`20["easyrtcMsg",{"msgType":"`+strings.Repeat("a", 1<<20)+`"}]`))
	require.NoError(t, err)
}

func TestDecoderRefusesATextWhereAnAttachmentIsDue(t *testing.T) {
	t.Parallel()
	var d Decoder
	_, err := d.Decode(transport.Text, []byte(`51-["easyrtcMsg",{"msgType":"bin"}]`))
	require.NoError(t, err)
	_, err = d.Decode(transport.Text, []byte(`1`))
	require.ErrorIs(t, err, socketio.ErrIncomplete)
}

func TestDecodeBinaryWantsAsManyAttachmentsAsAnnounced(t *testing.T) {
	t.Parallel()
	for packet, ok := range map[string]bool{
		`52-["easyrtcMsg",{"msgType":"bin"}]`: true,
		`62-[{"msgType":"bin"}]`:              true,
		`51-["easyrtcMsg",{"msgType":"bin"}]`: false,
		`53-["easyrtcMsg",{"msgType":"bin"}]`: false,
		`2["easyrtcMsg",{"msgType":"bin"}]`:   false,
		`1`:                                   false,
		`52-["easyrtcMsg",{"msgType":"bin","msgData":{"_placeholder":true,"num":2}}]`:        false,
		`52-["easyrtcMsg",{"msgType":"bin","a":[{ "_placeholder" : true , "num" : "0" }]}]`:  false,
		`52-["easyrtcMsg", {"msgType":"bin","msgData":{"_placeholder":true ,"num":-1}}]`:     false,
		`52-["easyrtcMsg", {"msgType":"bin","msgData":{"_placeholder":true ,"num": 1 }}, 1]`: true,
	} {
		_, err := DecodeBinary([]byte(packet), [][]byte{{1}, {2}})
		require.Equal(t, ok, err == nil, "%s: %v", packet, err)
	}
}

// A copy of a message that is sent on must not share its packet.
func TestAClonedMessageIsAnother(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		m, err := v.decode()
		if err != nil || m.packet() == nil {
			continue
		}
		c := clone(m)
		require.Equal(t, m, c, v.Name)
		require.NotSame(t, m, c, v.Name)
		c.packet().ID = NumberID(999)
		require.NotEqual(t, NumberID(999), m.packet().ID, v.Name)
	}
}
