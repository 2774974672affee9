package easyrtc

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// refusal returns the code with which a server answers a packet whatever its state, or "".
// A packet without an answer ends the connection.
func refusal(t *testing.T, packet string, rules *Rules) ErrorCode {
	t.Helper()
	m, err := Decode([]byte(packet))
	if e, ok := err.(*DecodeError); ok {
		require.Equal(t, NumberID(0), e.ID, "%s: %v", packet, err)
		require.NotEmpty(t, e.Code, "%s: %v", packet, err)
		return e.Code
	}
	require.NoError(t, err, packet)
	if e, ok := validate(m, rules).(*ValidationError); ok {
		require.NotEmpty(t, e.Code, "%s: %v", packet, e)
		return e.Code
	}
	return ""
}

func authPacket(members string) string {
	return `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta"` + members + `}}]`
}

func authJoining(rooms string) string { return authPacket(`,"roomJoin":` + rooms) }

func cmdPacket(typ, members string) string {
	return `20["easyrtcCmd",{"msgType":"` + typ + `"` + members + `}]`
}

func msgPacket(members string) string { return `20["easyrtcMsg",{"msgType":"m"` + members + `}]` }

// A refusalTest is a packet with the code that the server answers, or "".
type refusalTest struct {
	packet string
	want   ErrorCode
}

func requireRefusals(t *testing.T, tests []refusalTest) {
	t.Helper()
	for _, tt := range tests {
		require.Equal(t, tt.want, refusal(t, tt.packet, defaultRules), tt.packet)
	}
}

// The codes, and what is none.
const (
	refusedStructure   = CodeMsgRejectBadStructure
	refusedData        = CodeMsgRejectBadData
	refusedRoom        = CodeMsgRejectBadRoom
	refusedType        = CodeMsgRejectBadType
	refusedSize        = CodeMsgRejectBadSize
	refusedTarget      = CodeMsgRejectTarget
	refusedTargetRoom  = CodeMsgRejectTargetRoom
	refusedTargetGroup = CodeMsgRejectTargetGroup
	refusedLogin       = CodeLoginBadStructure
	refusedAuth        = CodeLoginBadAuth

	notRefused ErrorCode = ""
)

func TestLoginsAreRefusedForTheFirstRuleThatTheyBreak(t *testing.T) {
	t.Parallel()
	requireRefusals(t, []refusalTest{
		{`20["easyrtcAuth",{"msgType":"authenticate"}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":null}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":"x"}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":[]}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":[{"apiVersion":"1"}]}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{}}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiversion":"1"}}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":null}}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":1.1}}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":""}}]`, refusedStructure},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"a b"}}]`, refusedStructure},
		{`20["easyrtcAuth",{"msgData":{"apiVersion":"1"}}]`, refusedAuth},
		{`20["easyrtcAuth",{"msgType":null,"msgData":{"apiVersion":"1"}}]`, refusedAuth},
		{`20["easyrtcAuth",{"msgType":1}]`, refusedAuth},
		{`20["easyrtcAuth",{"msgtype":"authenticate","msgData":{"apiVersion":"1"}}]`, refusedAuth},
		{authPacket(``), notRefused},
		{authPacket(`,"username":null`), refusedStructure},
		{authPacket(`,"username":1`), refusedStructure},
		{authPacket(`,"username":["a"]`), refusedStructure},
		{authPacket(`,"applicationName":null`), refusedStructure},
		{authPacket(`,"applicationName":7`), refusedStructure},
		{authPacket(`,"easyrtcsid":null`), refusedStructure},
		{authPacket(`,"easyrtcsid":{}`), refusedStructure},
		{authPacket(`,"credential":{"a":1}`), notRefused},
		{authPacket(`,"credential":["a"]`), notRefused},
		{authPacket(`,"credential":[null]`), notRefused},
		{authPacket(`,"credential":{}`), refusedStructure},
		{authPacket(`,"credential":{ }`), refusedStructure},
		{authPacket(`,"credential":[]`), refusedStructure},
		{authPacket(`,"credential":null`), refusedStructure},
		{authPacket(`,"credential":"secret"`), refusedStructure},
		{authPacket(`,"credential":1`), refusedStructure},
		{authPacket(`,"credential":true`), refusedStructure},
		{authPacket(`,"setPresence":{}`), refusedStructure},
		{authPacket(`,"setPresence":null`), refusedStructure},
		{authPacket(`,"setPresence":"away"`), refusedStructure},
		{authPacket(`,"setPresence":{"show":"away"}`), notRefused},
		{authPacket(`,"setPresence":{"show":"here"}`), refusedStructure},
		{authPacket(`,"setPresence":{"show":null}`), refusedStructure},
		{authPacket(`,"setPresence":{"show":null,"status":"x"}`), refusedStructure},
		{authPacket(`,"setPresence":{"status":null}`), refusedStructure},
		{authPacket(`,"setPresence":{"status":""}`), notRefused},
		{authPacket(`,"setPresence":{"foo":1}`), notRefused},
		{authPacket(`,"setUserCfg":null`), notRefused},
		{authPacket(`,"setUserCfg":"anything"`), notRefused},
		{authPacket(`,"foo":{"a":[1]}`), notRefused},
		{authJoining(`{}`), notRefused},
		{authJoining(`null`), refusedLogin},
		{authJoining(`"x"`), refusedLogin},
		{authJoining(`[]`), refusedLogin},
		{authJoining(`{"a":{"roomName":"a"}}`), notRefused},
		{authJoining(`{"a":{"roomName":"a","foo":1}}`), notRefused},
		{authJoining(`{"a":null}`), refusedStructure},
		{authJoining(`{"a":"a"}`), refusedStructure},
		{authJoining(`{"a":[]}`), refusedStructure},
		{authJoining(`{"a":{}}`), refusedStructure},
		{authJoining(`{"a":{"roomName":null}}`), refusedStructure},
		{authJoining(`{"a":{"roomName":"A"}}`), refusedStructure},
		{authJoining(`{"a":{"roomName":"b"}}`), refusedStructure},
		{authJoining(`{"a":{"roomName":"a"},"b":{"roomName":"a"}}`), refusedStructure},
		{authJoining(`{"a b":{"roomName":"a b"}}`), refusedStructure},
		{authJoining(`{"":{"roomName":""}}`), refusedStructure},
		{authJoining(`{"a":{"roomName":"a","roomParameter":{}}}`), notRefused},
		{authJoining(`{"a":{"roomName":"a","roomParameter":[1]}}`), notRefused},
		{authJoining(`{"a":{"roomName":"a","roomParameter":"x"}}`), refusedStructure},
		{authJoining(`{"a":{"roomName":"a","roomParameter":null}}`), refusedStructure},
		{authJoining(`{"hasOwnProperty":{"roomName":"hasOwnProperty"}}`), notRefused},
		{authJoining(`{"constructor":{"roomName":"constructor"}}`), notRefused},
		{authJoining(`{"__proto__":{"roomName":"__proto__"}}`), refusedStructure},
		// What is worse comes first, wherever it stands.
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"username":null,"apiVersion":1}}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"username":5}}]`, refusedLogin},
		{`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"roomJoin":{"a":1},"setPresence":1}}]`, refusedLogin},
		{authPacket(`,"username":null,"roomJoin":[]`), refusedLogin},
		{authPacket(`,"username":"","roomJoin":null`), refusedLogin},
	})
}

func TestSignalsAreRefusedForTheirDataBeforeTheirTarget(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"offer", "answer", "candidate"} {
		requireRefusals(t, []refusalTest{
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":{"a":1}`), notRefused},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":[0]`), notRefused},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":{"length":0}`), notRefused},
			{cmdPacket(typ, `,"targetEasyrtcid":"x"`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":null`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":{}`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":[ ]`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":"v=0"`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":7`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":true`), refusedData},
			{cmdPacket(typ, `,"msgData":{"a":1}`), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":"","msgData":{"a":1}`), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":null,"msgData":{"a":1}`), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":5,"msgData":{"a":1}`), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":["x"],"msgData":{"a":1}`), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":"a b","msgData":{"a":1}`), refusedStructure},
			{cmdPacket(typ, `,"targeteasyrtcid":"x","msgData":{"a":1}`), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":5`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"","msgData":[]`), refusedData},
			{cmdPacket(typ, ``), refusedData},
		})
	}
	for _, typ := range []string{"reject", "hangup"} {
		requireRefusals(t, []refusalTest{
			{cmdPacket(typ, `,"targetEasyrtcid":"x"`), notRefused},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":null`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":{}`), refusedData},
			{cmdPacket(typ, `,"targetEasyrtcid":"x","msgData":""`), refusedData},
			{cmdPacket(typ, ``), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":""`), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":null`), refusedStructure},
			{cmdPacket(typ, `,"targetEasyrtcid":5,"msgData":null`), refusedData},
			{cmdPacket(typ, `,"msgData":1`), refusedData},
		})
	}
}

func TestQuestionsTakeNoDataOrNone(t *testing.T) {
	t.Parallel()
	requireRefusals(t, []refusalTest{
		{cmdPacket("getIceConfig", ``), notRefused},
		{cmdPacket("getIceConfig", `,"msgData":null`), notRefused},
		{cmdPacket("getIceConfig", `,"msgData":{}`), notRefused},
		{cmdPacket("getIceConfig", `,"msgData":[]`), notRefused},
		{cmdPacket("getIceConfig", `,"msgData":""`), notRefused},
		{cmdPacket("getIceConfig", `,"msgData":0`), notRefused},
		{cmdPacket("getIceConfig", `,"msgData":17`), notRefused},
		{cmdPacket("getIceConfig", `,"msgData":true`), notRefused},
		{cmdPacket("getIceConfig", `,"msgData":{"a":1}`), refusedData},
		{cmdPacket("getIceConfig", `,"msgData":{"length":0}`), refusedData},
		{cmdPacket("getIceConfig", `,"msgData":[null]`), refusedData},
		{cmdPacket("getIceConfig", `,"msgData":"x"`), refusedData},
		{cmdPacket("getRoomList", ``), notRefused},
		{cmdPacket("getRoomList", `,"msgData":null`), refusedData},
		{cmdPacket("getRoomList", `,"msgData":{}`), refusedData},
		{cmdPacket("getRoomList", `,"msgData":""`), refusedData},
		{cmdPacket("stillAlive", ``), notRefused},
		{cmdPacket("stillAlive", `,"msgData":{"a":1}`), notRefused},
		{cmdPacket("bogus", `,"targetEasyrtcid":5`), notRefused}, // as an Unknown, which the server answers
		{`20["easyrtcCmd",{}]`, refusedType},
		{`20["easyrtcCmd",{"msgType":5,"msgData":null}]`, refusedType},
		{`20["easyrtcCmd",{"msgType":null}]`, refusedType},
		{`20["easyrtcCmd",{"MsgType":"offer"}]`, refusedType},
		{`20["easyrtcCmd","offer"]`, refusedStructure},
		{`20["easyrtcCmd",null]`, refusedStructure},
		{`20["easyrtcCmd",7]`, refusedStructure},
		{`20["easyrtcCmd",["offer"]]`, refusedType},
		{`20["easyrtcAuth",{"msgType":["authenticate"]}]`, refusedAuth},
		{`20["easyrtcAuth",null]`, refusedStructure},
		{`20["easyrtcAuth",7]`, refusedAuth},
		{`20["easyrtcAuth",[1]]`, refusedAuth},
		{`20["easyrtcMsg",null]`, refusedStructure},
		{`20["easyrtcMsg","m"]`, refusedStructure},
		{`20["easyrtcMsg",[]]`, refusedType},
	})
}

func TestRoomsAreNamedByTheirKeys(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"roomJoin", "roomLeave"} {
		rooms := func(text string) string { return cmdPacket(typ, `,"msgData":{"`+typ+`":`+text+`}`) }
		requireRefusals(t, []refusalTest{
			{cmdPacket(typ, ``), refusedData},
			{cmdPacket(typ, `,"msgData":null`), refusedData},
			{cmdPacket(typ, `,"msgData":"a"`), refusedData},
			{cmdPacket(typ, `,"msgData":1`), refusedData},
			{cmdPacket(typ, `,"msgData":[]`), refusedStructure},
			{cmdPacket(typ, `,"msgData":[{"roomName":"0"}]`), refusedStructure},
			{cmdPacket(typ, `,"msgData":{}`), refusedStructure},
			{cmdPacket(typ, `,"msgData":{"a":{"roomName":"a"}}`), refusedStructure},
			{rooms(`null`), refusedStructure},
			{rooms(`"a"`), refusedStructure},
			{rooms(`["a"]`), refusedStructure},
			{rooms(`[]`), refusedStructure},
			{rooms(`{"a":{"roomName":"a"}}`), notRefused},
			{rooms(`{"a":{"roomName":"a"},"b":{"roomName":"b"}}`), notRefused},
			{rooms(`{"a":{"roomName":"a","foo":[]}}`), notRefused},
			{rooms(`{"a":{"roomName":"a"},"b":{}}`), refusedStructure},
			{rooms(`{"a":null}`), refusedStructure},
			{rooms(`{"a":true}`), refusedStructure},
			{rooms(`{"a":{"roomName":null}}`), refusedStructure},
			{rooms(`{"a":{"roomName":1}}`), refusedStructure},
			{rooms(`{"a":{"roomName":"A"}}`), refusedStructure},
			{rooms(`{"a":{"RoomName":"a"}}`), refusedStructure},
			{rooms(`{"a,b":{"roomName":"a,b"}}`), refusedStructure},
			{rooms(`{"":{"roomName":""}}`), refusedStructure},
			{rooms(`{"hasOwnProperty":{"roomName":"hasOwnProperty"}}`), notRefused},
			{rooms(`{"toString":{"roomName":"toString"}}`), notRefused},
			{rooms(`{"__proto__":{"roomName":"__proto__"}}`), refusedStructure},
			{rooms(`{"\u0061":{"roomName":"a"}}`), notRefused},
		})
	}
	requireRefusals(t, []refusalTest{
		{cmdPacket("roomJoin", `,"msgData":{"roomJoin":{}}`), refusedStructure},
		{cmdPacket("roomLeave", `,"msgData":{"roomLeave":{}}`), notRefused},
		// Its type is looked at in a login only.
		{cmdPacket("roomJoin", `,"msgData":{"roomJoin":{"a":{"roomName":"a","roomParameter":"x"}}}`), notRefused},
		{cmdPacket("roomJoin", `,"msgData":{"roomJoin":{"a":{"roomName":"a","roomParameter":null}}}`), notRefused},
	})
}

func TestFieldsAndPresenceKeepTheirRules(t *testing.T) {
	t.Parallel()
	field := func(text string) string {
		return cmdPacket("setRoomApiField", `,"msgData":{"setRoomApiField":`+text+`}`)
	}
	presence := func(text string) string { return cmdPacket("setPresence", `,"msgData":{"setPresence":`+text+`}`) }
	cfg := func(text string) string { return cmdPacket("setUserCfg", `,"msgData":{"setUserCfg":`+text+`}`) }
	for _, typ := range []string{"setRoomApiField", "setPresence", "setUserCfg"} {
		requireRefusals(t, []refusalTest{
			{cmdPacket(typ, ``), refusedData},
			{cmdPacket(typ, `,"msgData":null`), refusedData},
			{cmdPacket(typ, `,"msgData":"a"`), refusedData},
			{cmdPacket(typ, `,"msgData":false`), refusedData},
			{cmdPacket(typ, `,"msgData":{}`), refusedStructure},
			{cmdPacket(typ, `,"msgData":[]`), refusedStructure},
			{cmdPacket(typ, `,"msgData":{"`+typ+`":null}`), refusedStructure},
			{cmdPacket(typ, `,"msgData":{"`+typ+`":{}}`), refusedStructure},
			{cmdPacket(typ, `,"msgData":{"`+typ+`":[]}`), refusedStructure},
			{cmdPacket(typ, `,"msgData":{"`+typ+`":"x"}`), refusedStructure},
		})
	}
	requireRefusals(t, []refusalTest{
		{field(`{"roomName":"a"}`), notRefused},
		{field(`{"roomName":"a","field":{}}`), notRefused},
		{field(`{"roomName":"a","field":[]}`), notRefused},
		{field(`{"roomName":"a","field":[1,{"b":null}]}`), notRefused},
		{field(`{"roomName":"a","field":{"hasOwnProperty":1,"any name !!":"raw"}}`), notRefused},
		{field(`{"roomName":"a","field":{"a":{"__proto__":1}}}`), notRefused},
		{field(`{"roomName":"a","field":{"__proto__":1}}`), refusedStructure},
		{field(`{"roomName":"a","field":{"a":1,"\u005f_proto__":1}}`), refusedStructure},
		{field(`{"roomName":"a","field":null}`), refusedStructure},
		{field(`{"roomName":"a","field":"x"}`), refusedStructure},
		{field(`{"roomName":"a","field":0}`), refusedStructure},
		{field(`{"field":{}}`), refusedRoom},
		{field(`{"roomName":""}`), refusedRoom},
		{field(`{"roomName":"","field":{"a":1}}`), refusedRoom},
		{field(`{"roomName":null}`), refusedRoom},
		{field(`{"roomName":["a"]}`), refusedRoom},
		{field(`{"roomName":5,"field":null}`), refusedRoom},
		{field(`{"roomName":"a b","field":"x"}`), refusedRoom},
		{field(`{"roomName":"__proto__"}`), refusedRoom},
		{field(`{"foo":1}`), refusedRoom},

		{presence(`{"show":"away"}`), notRefused},
		{presence(`{"show":"chat"}`), notRefused},
		{presence(`{"show":"dnd"}`), notRefused},
		{presence(`{"show":"xa","status":"lunch","foo":1}`), notRefused},
		{presence(`{"type":null}`), notRefused},
		{presence(`{"type":{"any":1}}`), notRefused},
		{presence(`{"foo":1}`), notRefused},
		{presence(`{"show":""}`), refusedStructure},
		{presence(`{"show":"Away"}`), refusedStructure},
		{presence(`{"show":"away "}`), refusedStructure},
		{presence(`{"show":"away\n"}`), refusedStructure},
		{presence(`{"show":null}`), refusedStructure},
		{presence(`{"show":1,"status":"x"}`), refusedStructure},
		{presence(`{"status":null}`), refusedStructure},
		{presence(`{"status":["x"]}`), refusedStructure},
		{presence(`{"show":"chat","status":"a\nb"}`), refusedStructure},

		{cfg(`{"p2pList":{"a":{}}}`), notRefused},
		{cfg(`{"userSettings":{"a":1}}`), notRefused},
		{cfg(`{"p2pList":[1],"userSettings":[1]}`), notRefused},
		{cfg(`{"apiField":1}`), notRefused},
		{cfg(`{"p2pList":{}}`), refusedStructure},
		{cfg(`{"p2pList":null}`), refusedStructure},
		{cfg(`{"p2pList":"a"}`), refusedStructure},
		{cfg(`{"p2pList":{"a":1},"userSettings":{}}`), refusedStructure},
		{cfg(`{"userSettings":null}`), refusedStructure},
		{cfg(`{"userSettings":true}`), refusedStructure},
	})
}

func TestMessagesAreRefusedForTheClientThenTheGroupThenTheRoom(t *testing.T) {
	t.Parallel()
	requireRefusals(t, []refusalTest{
		{msgPacket(``), notRefused},
		{msgPacket(`,"msgData":null`), notRefused},
		{msgPacket(`,"targetEasyrtcid":"x","targetRoom":"r","targetGroup":"g","msgData":[1]`), notRefused},
		{`20["easyrtcMsg",{"msgType":"","targetRoom":"r"}]`, notRefused},
		{`20["easyrtcMsg",{"msgType":"offer"}]`, notRefused},
		{`20["easyrtcMsg",{"msgType":"` + strings.Repeat("é\\n", 1000) + `"}]`, notRefused},
		{`20["easyrtcMsg",{"targetRoom":"r"}]`, refusedType},
		{`20["easyrtcMsg",{"msgType":null,"targetRoom":null}]`, refusedType},
		{`20["easyrtcMsg",{"msgType":5}]`, refusedType},
		{msgPacket(`,"targetEasyrtcid":null`), refusedTarget},
		{msgPacket(`,"targetEasyrtcid":5`), refusedTarget},
		{msgPacket(`,"targetEasyrtcid":""`), refusedTarget},
		{msgPacket(`,"targetEasyrtcid":"a b"`), refusedTarget},
		{msgPacket(`,"targetRoom":null`), refusedTargetRoom},
		{msgPacket(`,"targetRoom":{}`), refusedTargetRoom},
		{msgPacket(`,"targetRoom":""`), refusedTargetRoom},
		{msgPacket(`,"targetRoom":"a/b"`), refusedTargetRoom},
		{msgPacket(`,"targetRoom":"__proto__"`), refusedTargetRoom},
		{msgPacket(`,"targetGroup":null`), refusedTargetGroup},
		{msgPacket(`,"targetGroup":[]`), refusedTargetGroup},
		{msgPacket(`,"targetGroup":""`), refusedTargetGroup},
		{msgPacket(`,"targetGroup":"a b"`), refusedTargetGroup},
		{msgPacket(`,"targetRoom":"","targetGroup":"","targetEasyrtcid":""`), refusedTarget},
		{msgPacket(`,"targetRoom":null,"targetGroup":null,"targetEasyrtcid":null`), refusedTarget},
		{msgPacket(`,"targetRoom":5,"targetGroup":5`), refusedTargetGroup},
		{msgPacket(`,"targetRoom":"a b","targetGroup":"a b"`), refusedTargetGroup},
		{msgPacket(`,"targetRoom":"a b","targetGroup":"g","targetEasyrtcid":"x y"`), refusedTarget},
	})
}

// originals are the regular expressions of open-easyrtc 2.1.8. In them a dot is what is no
// end of a line, and counts UTF-16 units.
var originals = []struct {
	name   string
	units  string // with one character for each unit
	packet func(quoted string) string
	refuse ErrorCode
}{
	{"apiVersion", `^[a-zA-Z0-9_.+-]{1,32}$`, func(s string) string {
		return `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":` + s + `}}]`
	}, refusedStructure},
	{"applicationName", `^[a-zA-Z0-9_.-]{1,32}$`, func(s string) string {
		return authPacket(`,"applicationName":` + s)
	}, refusedStructure},
	{"easyrtcsid", `^[a-zA-Z0-9_.%-]{1,100}$`, func(s string) string {
		return authPacket(`,"easyrtcsid":` + s)
	}, refusedStructure},
	{"username", `^[^\n\r\x{2028}\x{2029}]{1,64}$`, func(s string) string {
		return authPacket(`,"username":` + s)
	}, refusedStructure},
	{"status", `^[^\n\r\x{2028}\x{2029}]{0,255}$`, func(s string) string {
		return cmdPacket("setPresence", `,"msgData":{"setPresence":{"status":`+s+`}}`)
	}, refusedStructure},
	{"roomJoin", `^[a-zA-Z0-9_.-]{1,32}$`, func(s string) string {
		return cmdPacket("roomJoin", `,"msgData":{"roomJoin":{`+s+`:{"roomName":`+s+`}}}`)
	}, refusedStructure},
	{"roomName", `^[a-zA-Z0-9_.-]{1,32}$`, func(s string) string {
		return cmdPacket("setRoomApiField", `,"msgData":{"setRoomApiField":{"roomName":`+s+`,"field":{}}}`)
	}, refusedRoom},
	{"offer", `^[a-zA-Z0-9_.-]{1,32}$`, func(s string) string {
		return cmdPacket("offer", `,"msgData":[1],"targetEasyrtcid":`+s)
	}, refusedStructure},
	{"targetEasyrtcid", `^[a-zA-Z0-9_.-]{1,32}$`, func(s string) string {
		return msgPacket(`,"targetEasyrtcid":` + s)
	}, refusedTarget},
	{"targetRoom", `^[a-zA-Z0-9_.-]{1,32}$`, func(s string) string {
		return msgPacket(`,"targetRoom":` + s)
	}, refusedTargetRoom},
	{"targetGroup", `^[a-zA-Z0-9_.-]{1,32}$`, func(s string) string {
		return msgPacket(`,"targetGroup":` + s)
	}, refusedTargetGroup},
}

func TestTextsAreTakenAsByTheRegularExpressionsOfTheOriginal(t *testing.T) {
	t.Parallel()
	texts := []string{
		`""`, `" "`, `"a"`, `"Z"`, `"0"`, `"a b"`, `"a+b"`, `"a%20b"`, `"a-b_c.d"`, `"a/b"`, `"[a]"`, `"a^b"`, `"@"`,
		`"` + "`" + `"`, `"{"`, `"é"`, `"ſ"`, `"\u212a"`, `"\u0131"`, `"日本"`, `"😀"`, `"a\n"`, `"\na"`, `"a\r"`,
		`"a\u2028"`, `"a\u2029"`, `"a\u0085"`, `"a\u000b"`, `"a\u0000"`, `"a\t"`, `"\ud800"`, `"\udc00\ud800"`,
		`"\ud83d\ude00"`, `"\\"`, `"\""`, `"\/"`,
		`"constructor"`, `"hasOwnProperty"`, `"toString"`, `"\u0061"`,
	}
	for _, n := range []int{31, 32, 33, 63, 64, 65, 99, 100, 101, 254, 255, 256} {
		texts = append(texts, `"`+strings.Repeat("x", n)+`"`, `"`+strings.Repeat("é", n)+`"`, `"`+strings.Repeat(" ", n)+`"`,
			`"`+strings.Repeat(`\ud800`, n)+`"`)
		if n%2 == 0 {
			texts = append(texts, `"`+strings.Repeat("😀", n/2)+`"`, `"`+strings.Repeat(`\ud83d\ude00`, n/2)+`"`)
		} else {
			texts = append(texts, `"`+strings.Repeat("😀", n/2)+`x"`)
		}
	}
	for _, o := range originals {
		pattern := regexp.MustCompile(o.units)
		taken := 0
		for _, quoted := range texts {
			want := o.refuse
			if pattern.MatchString(unitsOf(t, quoted)) {
				want = notRefused
				taken++
			}
			require.Equal(t, want, refusal(t, o.packet(quoted), defaultRules), "%s: %s", o.name, quoted)
		}
		require.Greater(t, taken, 5, o.name)
		require.Less(t, taken, len(texts)-5, o.name)
	}
}

// unitsOf returns a quoted text with one character for each UTF-16 unit. Halves of a
// character are replaced.
func unitsOf(t *testing.T, quoted string) string {
	t.Helper()
	var text string
	require.NoError(t, json.Unmarshal([]byte(quoted), &text))
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		if utf16.IsSurrogate(rune(unit)) {
			unit = 0xfffd
		}
		b.WriteRune(rune(unit))
	}
	return b.String()
}

func TestAPIFieldsAreAsLongAsJavaScriptWritesThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field string
		want  int
	}{
		{`{}`, 2},
		{" { \"a\" :\t[ 1 ,\n2 ] } ", 11},
		{`{"a":"é☕😀"}`, 12},
		{`{"\u0061":"\u00e9\u2615\ud83d\ude00"}`, 12},
		{`["\"\\\/\b\f\n\r\t"]`, 19},
		{`["\u0022\u005c\u002f\u0008\u000c\u000a\u000d\u0009"]`, 19},
		{`["\u0000\u001f\u007f\u2028"]`, 18},
		{"[\"\u2028\x7f\"]", 6},
		{`["\ud800"]`, 10},
		{`["\udc00\ud800x"]`, 17},
		{`["\ud800\ud83d\ude00"]`, 12},
		{`["\ud800\n"]`, 12},
		{`["\ufffd"]`, 5},
		{`[1.0,1e2,-0,-0.0,0.1e1,1E+2,100]`, len(`[1,100,0,0,1,100,100]`)},
		{`[1e21,1e-7,123456789012345680000,0.000001]`, len(`[1e+21,1e-7,123456789012345680000,0.000001]`)},
		{`[1e400,-1e400,1e-400]`, len(`[null,null,0]`)},
		{`[true,false,null]`, 17},
	} {
		require.NoError(t, jsonx.Check([]byte(tt.field)), tt.field)
		require.Equal(t, tt.want, jsonUnits([]byte(tt.field)), tt.field)
	}
	field := func(text string) string {
		return cmdPacket("setRoomApiField", `,"msgData":{"setRoomApiField":{"roomName":"a","field":{"k":"`+text+`"}}}`)
	}
	const most = MaxAPIField - 1 - len(`{"k":""}`)
	requireRefusals(t, []refusalTest{
		{field(strings.Repeat("x", most)), notRefused},
		{field(strings.Repeat("x", most+1)), refusedSize},
		{field(strings.Repeat("é", most)), notRefused},
		{field(strings.Repeat("é", most+1)), refusedSize},
		{field(strings.Repeat("😀", most/2) + "x"), notRefused},
		{field(strings.Repeat("😀", most/2+1)), refusedSize},
		{field(strings.Repeat(`\u0061`, most)), notRefused},
		{field(strings.Repeat(`\u0061`, most+1)), refusedSize},
		{field(strings.Repeat(`\/`, most)), notRefused},
		{field(strings.Repeat(`\n`, most/2) + "x"), notRefused},
		{field(strings.Repeat(`\n`, most/2+1)), refusedSize},
	})
}

func TestRulesOfAServerReplaceThoseByDefault(t *testing.T) {
	t.Parallel()
	only := func(want string) func(string) bool { return regexp.MustCompile("^" + want + "$").MatchString }
	rules := Rules{
		APIVersion: only("v 1"), ApplicationName: only("an app"), RoomName: only("a room"), GroupName: only("a group"),
		EasyrtcID: only("an id"), EasyrtcSID: only("a sid"), Username: only("a user"), PresenceShow: only("here"),
		PresenceStatus: only("a\nb"),
	}.withDefaults()
	taken := map[string]string{
		"apiVersion": "v 1", "applicationName": "an app", "easyrtcsid": "a sid", "username": "a user", "status": "a\nb",
		"roomJoin": "a room", "roomName": "a room", "offer": "an id", "targetEasyrtcid": "an id", "targetRoom": "a room",
		"targetGroup": "a group",
	}
	require.Len(t, originals, len(taken))
	for _, o := range originals {
		packet := strings.Replace(o.packet(strconv.Quote(taken[o.name])), "1.1.1-beta", "v 1", 1)
		require.Equal(t, notRefused, refusal(t, packet, rules), packet)
		require.Equal(t, o.refuse, refusal(t, o.packet(strconv.Quote(taken[o.name]+"!")), rules), o.name)
	}
	show := cmdPacket("setPresence", `,"msgData":{"setPresence":{"show":"here"}}`)
	require.Equal(t, notRefused, refusal(t, show, rules))
	require.Equal(t, refusedStructure, refusal(t, show, defaultRules))
}

// What decodes is tried above; these are the messages that an application builds.
func TestValidateNamesTheMemberAndTheRule(t *testing.T) {
	t.Parallel()
	const utf8 = "\xff"
	notUTF8, declared := jsonx.ErrUTF8.Error(), jsonx.ErrDuplicate.Error()
	one, bad := json.RawMessage("1"), json.RawMessage("{bad")
	for _, tt := range []struct {
		want    string // its beginning
		message Message
	}{
		{"connect: : wrong payload", &ConnectPacket{Payload: one}},
		{"connect: : not JSON", &ConnectPacket{Payload: bad}},
		{"connect: : wrong namespace", &ConnectPacket{Namespace: "foo"}},
		{"disconnect: : wrong namespace", &DisconnectPacket{Namespace: "/a,b"}},
		{"connect_error: : wrong payload", &ConnectErrorPacket{Payload: one}},
		{"connect_error: : wrong namespace", &ConnectErrorPacket{Namespace: utf8}},
		{"offer: msgData: not JSON", &Offer{TargetEasyrtcID: "a", MsgData: json.RawMessage(`{"a"}`)}},
		{"offer: msgData: " + notUTF8, &Offer{TargetEasyrtcID: "a", MsgData: json.RawMessage("[\"\xff\"]")}},
		{"offer: easyrtcid: " + notUTF8, &Offer{TargetEasyrtcID: "a", EasyrtcID: utf8, MsgData: json.RawMessage("[1]")}},
		{"hangup: targetEasyrtcid: not a valid name", &Hangup{TargetEasyrtcID: utf8}},
		{"hangup: targetEasyrtcid: not a valid name", &Hangup{SenderEasyrtcID: "a b"}},
		{"getIceConfig: z: " + jsonx.ErrSyntax.Error(), &GetICEConfig{Extra: Fields{"z": bad}}},
		{"getIceConfig: msgData: " + declared, &GetICEConfig{Extra: Fields{"msgData": one}}},
		{`roomJoin: msgData.roomJoin["a"].roomName: not the name of its key`, &RoomJoin{MsgData: &RoomJoinData{
			RoomJoin: map[string]RoomRequest{"a": {}},
		}}},
		{"msg: msgData: not JSON", &Msg{MsgType: "msg", MsgData: json.RawMessage("hello")}},
		{utf8 + ": msgType: " + notUTF8, &Msg{MsgType: utf8}},
		{"msg: : wrong attachments", &Msg{MsgType: "msg", Packet: Packet{Attachments: make([][]byte, 11)}}},
		{"msg: : wrong attachments", &Msg{
			MsgType: "msg", MsgData: json.RawMessage(`{"_placeholder":true,"num":1}`), Packet: Packet{Attachments: [][]byte{{}}},
		}},
		{"ack: z: " + jsonx.ErrSyntax.Error(), &Ack{Packet: Packet{Ack: true}, Extra: Fields{"z": bad}}},
		{"error: msgData.errorCode: missing", &ErrorMessage{MsgData: &Error{ErrorText: "x"}}},
		{"token: msgData.easyrtcid: missing", &Token{MsgData: &TokenData{}}},
		{"token: msgData.application: missing", &Token{MsgData: &TokenData{EasyrtcID: "a"}}},
		{"token: msgData.iceConfig.iceServers: missing", &Token{MsgData: &TokenData{
			EasyrtcID: "a", Application: new(Application),
		}}},
		{"token: msgData.iceConfig.iceServers: missing", &Token{MsgData: &TokenData{
			EasyrtcID: "a", Application: new(Application), ICEConfig: new(ICEServers),
		}}},
		{"unknown: event: missing", &Unknown{Type: "unknown"}},
		{"x: event: missing", &Unknown{Type: "x", Args: []json.RawMessage{json.RawMessage("{}")}}},
		{"x: event: reserved", &Unknown{Type: "x", Event: "disconnect"}},
		{"x: a: " + jsonx.ErrSyntax.Error(), &Unknown{Type: "x", Event: "e", Extra: Fields{"a": bad}}},
		{"x: : not JSON", &Unknown{Type: "x", Event: "e", Args: []json.RawMessage{bad}}},
	} {
		err := tt.message.Validate()
		require.IsType(t, new(ValidationError), err, tt.want)
		require.True(t, strings.HasPrefix(err.Error(), "easyrtc: invalid "+tt.want), "%s, not %s", err, tt.want)
	}
}

func TestValidateTakesWhatServersRelay(t *testing.T) {
	t.Parallel()
	for _, m := range []Message{
		&Offer{SenderEasyrtcID: "a", EasyrtcID: "b", ServerTime: 1, MsgData: json.RawMessage("[1]")},
		&Hangup{SenderEasyrtcID: "a", EasyrtcID: "b", ServerTime: 1},
		&Msg{SenderEasyrtcID: "a", TargetRoom: "r"},
		&Msg{Packet: Packet{Ack: true}, MsgType: "m", TargetRoom: "not looked at"},
		&Unknown{Event: "e"},
		&Unknown{Event: "e", Args: []json.RawMessage{}},
		&Unknown{Args: []json.RawMessage{json.RawMessage("7")}},
		&Unknown{Args: []json.RawMessage{json.RawMessage(`""`)}},
		&Unknown{Packet: Packet{Ack: true}, Args: []json.RawMessage{json.RawMessage("null")}},
	} {
		require.NoError(t, m.Validate(), fmt.Sprintf("%+v", m))
		b, err := Encode(m)
		require.NoError(t, err)
		again, err := Decode(b)
		require.NoError(t, err, "%s", b)
		require.IsType(t, m, again)
	}
}
