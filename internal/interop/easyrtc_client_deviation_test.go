package interop

// An easyrtcDeviation is a case in which our server differs on purpose from that of
// open-easyrtc 2.1.8. Cases that the latter is not asked have no answer of it.
type easyrtcDeviation struct {
	why  string
	ours string // what our server says
}

const (
	ended        = "closed 1005 | OTHER: easyrtcCmd roomData den-SELF"
	badStructure = "7 MSG_REJECT_BAD_STRUCTURE"
	isNoMap      = "an array has no names"
	isOrdinary   = "no name has a meaning of its own"
	isNoName     = "as a name it would change the objects of browsers"
	isNoObject   = "it is no object"
)

// easyrtcDeviations are all of them, by the names of cases.
var easyrtcDeviations = map[string]easyrtcDeviation{
	"login with null":                        {isNoObject, badStructure + " | disconnected"},
	"login to an array of no rooms":          {isNoMap, "7 LOGIN_BAD_STRUCTURE | disconnected"},
	"login to an array of rooms":             {isNoMap, "7 LOGIN_BAD_STRUCTURE | disconnected"},
	"login with an array for a presence":     {isNoMap, badStructure + " | disconnected"},
	"login to a closed room and another":     {"a login that fails leaves nothing", "7 LOGIN_GEN_FAIL | disconnected"},
	"login with a special application":       {isOrdinary, "7 token default=?@SELF{}"},
	"login with another special application": {isOrdinary, "7 token default=?@SELF{}"},
	"login with a special session": {
		isOrdinary, `7 token default=?@SELF{"sessionData":{"easyrtcsid":"constructor"}}`,
	},
	"login with a special room":       {isNoName, badStructure + " | disconnected"},
	"login with another special room": {isOrdinary, "7 token constructor=?@SELF{}"},
	"login with a third special room": {isOrdinary, "7 token hasOwnProperty=?@SELF{}"},

	"command of null":                   {isNoObject, badStructure},
	"roomJoin of no rooms":              {"there is nothing to join", badStructure},
	"roomJoin of an array of no rooms":  {isNoMap, badStructure},
	"roomJoin of an array of rooms":     {isNoMap, badStructure},
	"roomLeave of an array of no rooms": {isNoMap, badStructure},
	"roomLeave of an array of rooms":    {isNoMap, badStructure},
	"roomJoin of a special room":        {isNoName, badStructure},
	"roomJoin of another special room":  {isOrdinary, "7 roomData constructor=self@SELF"},
	"roomJoin of a third special room":  {isOrdinary, "7 roomData hasOwnProperty=self@SELF"},
	"roomLeave of a special room":       {isNoName, badStructure},
	"roomLeave of another special room": {isOrdinary, "7 roomData constructor:leave"},
	"roomJoin of two closed rooms": {
		"rooms that the application refuses are not made",
		"7 MSG_REJECT_BAD_ROOM | 8 roomList default:0 den:2 hall:1 zz:1",
	},
	"setPresence of an array":                 {isNoMap, badStructure},
	"setUserCfg of an array":                  {isNoMap, badStructure},
	"setRoomApiField of an array for members": {isNoMap, badStructure},
	"setPresence with an api field": {
		"what has not changed is not left out",
		`7 roomData den+self@SELF{"a":1} | 8 roomData den+self@SELF/dnd/<nil>{"a":1} hall+self@SELF/dnd/<nil>` +
			` | OTHER: easyrtcCmd roomData den+self@SELF{"a":1}` +
			` | OTHER: easyrtcCmd roomData den+self@SELF/dnd/<nil>{"a":1}`,
	},
	"setRoomApiField in a special room":       {isNoName, "7 MSG_REJECT_BAD_ROOM"},
	"setRoomApiField in another special room": {"the client is not in there", "7 MSG_REJECT_BAD_ROOM"},
	"setRoomApiField of a special name":       {isNoName, badStructure},
	"setRoomApiField with an attachment": {
		"a field is JSON", badStructure,
	},
	"stillAlive": {"nobody minds an answer, and other versions want it", "7 ack"},

	"message of an argument that is null": {isNoObject, badStructure},
	"message to no target":                {"a client that waits for an answer would wait in vain", "7 ack"},
	"message with an attachment that nothing refers to": {
		"attachments pass as they come",
		`7 ack | OTHER: easyrtcMsg with 1 {"msgData":1,"msgType":"chat","senderEasyrtcid":"SELF",` +
			`"targetEasyrtcid":"OTHER"} | OTHER: binary:01`,
	},
	"message with attachments in another order": {
		"as above",
		`7 ack | OTHER: easyrtcMsg with 2 {"msgData":[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}],` +
			`"msgType":"chat","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"} | OTHER: binary:01 | OTHER: binary:02`,
	},
	"message with one attachment twice": {
		"as above",
		`7 ack | OTHER: easyrtcMsg with 1 {"msgData":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}],` +
			`"msgType":"chat","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"} | OTHER: binary:01`,
	},

	"packet of no data":                 {"an event has a name", ended},
	"packet of an id alone":             {"an event has a name", ended},
	"packet of an id of 23 digits":      {"JavaScript cannot say it again", ended},
	"packet of a duplicate name":        {"which one counts is a matter of the reader", ended},
	"packet of a duplicate name within": {"as above", ended},
	"packet of a number out of range": {
		"numbers pass as they are",
		`7 ack | OTHER: easyrtcMsg {"msgData":[1e400],"msgType":"x","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"}`,
	},
	"packet of deep nesting": {"no reader should have to follow it", ended},
	"packet of a login again to another application": {
		"a connection stays in its application",
		"7 LOGIN_APP_AUTH_FAIL | disconnected | OTHER: easyrtcCmd roomData den-SELF",
	},
	"packet of a login again to another room": {
		"what is said after it is done once",
		`7 token den=other@OTHER,self2@SELF far=far@FAR,self2@SELF hall=self2@SELF{} | 8 ack` +
			` | OTHER: easyrtcCmd roomData den+self2@SELF` +
			` | FAR: easyrtcCmd roomData far+self2@SELF | FAR: easyrtcCmd roomData far+self2@SELF` +
			` | FAR: easyrtcMsg {"msgType":"x","senderEasyrtcid":"SELF","targetEasyrtcid":"FAR"}`,
	},
}
