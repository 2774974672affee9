package interop

// easyrtcMessages are messages of a member.
var easyrtcMessages = []easyrtcCase{
	{"message",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","msgData":{"a":1}`),
		`7 ack | OTHER: easyrtcMsg {"msgData":{"a":1},"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER"}`},
	{"message without data",
		messageOf("chat", `,"targetEasyrtcid":"OTHER"`),
		`7 ack | OTHER: easyrtcMsg {"msgType":"chat","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"}`},
	{"message of null",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","msgData":null`),
		`7 ack | OTHER: easyrtcMsg {"msgData":null,"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER"}`},
	{"message of a text",
		messageOf("chat", ",\"targetEasyrtcid\":\"OTHER\",\"msgData\":\"\u2028<&>\\u0000\\ud83d\\ude00\""),
		`7 ack | OTHER: easyrtcMsg {"msgData":"\u2028<&>\u0000😀","msgType":"chat"` +
			`,"senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"}`},
	{"message of a number",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","msgData":-1.5e3`),
		`7 ack | OTHER: easyrtcMsg {"msgData":-1500,"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER"}`},
	{"message of an empty type",
		messageOf("", `,"targetEasyrtcid":"OTHER"`),
		`7 ack | OTHER: easyrtcMsg {"msgType":"","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"}`},
	{"message of a long type",
		messageOf("<t*1000>", `,"targetEasyrtcid":"OTHER"`),
		`7 ack | OTHER: easyrtcMsg {"msgType":"<t*1000>","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER"}`},
	{"message of a type of commands",
		messageOf("offer", `,"targetEasyrtcid":"OTHER"`),
		`7 ack | OTHER: easyrtcMsg {"msgType":"offer","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"}`},
	{"message of the type ack",
		messageOf("ack", `,"targetEasyrtcid":"OTHER"`),
		`7 ack | OTHER: easyrtcMsg {"msgType":"ack","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"}`},
	{"message of no type", `27["easyrtcMsg",{"targetEasyrtcid":"OTHER"}]`, `7 MSG_REJECT_BAD_TYPE`},
	{"message of a null type",
		`27["easyrtcMsg",{"msgType":null,"targetEasyrtcid":"OTHER"}]`,
		`7 MSG_REJECT_BAD_TYPE`},
	{"message of a number for a type",
		`27["easyrtcMsg",{"msgType":1,"targetEasyrtcid":"OTHER"}]`,
		`7 MSG_REJECT_BAD_TYPE`},
	{"message with forged members",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","senderEasyrtcid":"forged","easyrtcid":"forged"`+
			`,"serverTime":1,"zork":1`),
		`7 ack | OTHER: easyrtcMsg {"msgType":"chat","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"}`},
	{"message to oneself", messageOf("chat", `,"targetEasyrtcid":"SELF"`), `7 MSG_REJECT_TARGET_EASYRTCID`},
	{"message to a far client",
		messageOf("chat", `,"targetEasyrtcid":"FAR"`),
		`7 ack | FAR: easyrtcMsg {"msgType":"chat","senderEasyrtcid":"SELF","targetEasyrtcid":"FAR"}`},
	{"message to another application",
		messageOf("chat", `,"targetEasyrtcid":"ALIEN"`),
		`7 MSG_REJECT_GEN_FAIL`},
	{"message to nobody", messageOf("chat", `,"targetEasyrtcid":"nobody"`), `7 MSG_REJECT_GEN_FAIL`},
	{"message to a special target",
		messageOf("chat", `,"targetEasyrtcid":"constructor"`),
		`7 MSG_REJECT_GEN_FAIL`},
	{"message to an empty target", messageOf("chat", `,"targetEasyrtcid":""`), `7 MSG_REJECT_TARGET_EASYRTCID`},
	{"message to a null target", messageOf("chat", `,"targetEasyrtcid":null`), `7 MSG_REJECT_TARGET_EASYRTCID`},
	{"message to a number", messageOf("chat", `,"targetEasyrtcid":1`), `7 MSG_REJECT_TARGET_EASYRTCID`},
	{"message to a strange target",
		messageOf("chat", `,"targetEasyrtcid":"a b"`),
		`7 MSG_REJECT_TARGET_EASYRTCID`},
	{"message to an array", messageOf("chat", `,"targetEasyrtcid":["OTHER"]`), `7 MSG_REJECT_TARGET_EASYRTCID`},
	{"message to a room",
		messageOf("chat", `,"targetRoom":"den","msgData":1`),
		`7 ack | OTHER: easyrtcMsg {"msgData":1,"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetRoom":"den"}`},
	{"message to a room without others", messageOf("chat", `,"targetRoom":"hall"`), `7 ack`},
	{"message to a far room",
		messageOf("chat", `,"targetRoom":"far","msgData":"FAR"`),
		`7 MSG_REJECT_TARGET_ROOM`},
	{"message to an unknown room", messageOf("chat", `,"targetRoom":"nowhere"`), `7 MSG_REJECT_TARGET_ROOM`},
	{"message to an empty room", messageOf("chat", `,"targetRoom":""`), `7 MSG_REJECT_TARGET_ROOM`},
	{"message to a null room", messageOf("chat", `,"targetRoom":null`), `7 MSG_REJECT_TARGET_ROOM`},
	{"message to a strange room", messageOf("chat", `,"targetRoom":"a b"`), `7 MSG_REJECT_TARGET_ROOM`},
	{"message to a special room", messageOf("chat", `,"targetRoom":"__proto__"`), `7 MSG_REJECT_TARGET_ROOM`},
	{"message to a group", messageOf("chat", `,"targetGroup":"g"`), `7 MSG_REJECT_TARGET_GROUP`},
	{"message to a strange group", messageOf("chat", `,"targetGroup":"a b"`), `7 MSG_REJECT_TARGET_GROUP`},
	{"message to a null group", messageOf("chat", `,"targetGroup":null`), `7 MSG_REJECT_TARGET_GROUP`},
	{"message to a client in a room",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","targetRoom":"den"`),
		`7 ack | OTHER: easyrtcMsg {"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER","targetRoom":"den"}`},
	{"message to a client in another room",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","targetRoom":"hall"`),
		`7 MSG_REJECT_TARGET_ROOM`},
	{"message to a client in a far room",
		messageOf("chat", `,"targetEasyrtcid":"FAR","targetRoom":"far"`),
		`7 MSG_REJECT_TARGET_ROOM`},
	{"message to a client in a group",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","targetGroup":"g"`),
		`7 MSG_REJECT_TARGET_GROUP`},
	{"message to a room and a group", messageOf("chat", `,"targetRoom":"den","targetGroup":"g"`), `7 ack`},
	{"message to a far room and a group",
		messageOf("chat", `,"targetRoom":"nowhere","targetGroup":"g"`),
		`7 MSG_REJECT_TARGET_ROOM`},
	{"message to nobody in a far room",
		messageOf("chat", `,"targetEasyrtcid":"nobody","targetRoom":"nowhere"`),
		`7 MSG_REJECT_GEN_FAIL`},
	{"message to oneself in a strange room",
		messageOf("chat", `,"targetEasyrtcid":"SELF","targetRoom":"a b"`),
		`7 MSG_REJECT_TARGET_ROOM`},
	{"message to three strange targets",
		messageOf("chat", `,"targetEasyrtcid":"a b","targetRoom":"a b","targetGroup":"a b"`),
		`7 MSG_REJECT_TARGET_EASYRTCID`},
	{"message to two strange targets",
		messageOf("chat", `,"targetRoom":"a b","targetGroup":"a b"`),
		`7 MSG_REJECT_TARGET_GROUP`},
	{"message to a client in a room and a group",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","targetRoom":"den","targetGroup":"g"`),
		`7 MSG_REJECT_TARGET_GROUP`},
	{"message to no target", messageOf("chat", `,"msgData":1`), silence},
	{"message of an argument that is a text", `27["easyrtcMsg","chat"]`, `7 MSG_REJECT_BAD_STRUCTURE`},
	{"message of an argument that is an array", `27["easyrtcMsg",["chat"]]`, `7 MSG_REJECT_BAD_TYPE`},
	{"message of no argument", `27["easyrtcMsg"]`, silence},
	{"message of two arguments", `27["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER"},1]`, silence},
	{"message without an id", `2["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER"}]`, silence},
	{"message of an argument that is null", `27["easyrtcMsg",null]`, ""},
	{"message with an attachment",
		inTurn(`51-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER"`+
			`,"msgData":{"b":{"_placeholder":true,"num":0}}}]`, `binary:00010441`),
		`7 ack | OTHER: easyrtcMsg with 1 {"msgData":{"b":{"_placeholder":true,"num":0}}` +
			`,"msgType":"chat","senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"} | OTHER: binary:00010441`},
	{"message with ten attachments",
		inTurn(`510-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER"`+
			`,"msgData":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true`+
			`,"num":2},{"_placeholder":true,"num":3},{"_placeholder":true,"num":4},{"_placeholder":true`+
			`,"num":5},{"_placeholder":true,"num":6},{"_placeholder":true,"num":7},{"_placeholder":true`+
			`,"num":8},{"_placeholder":true,"num":9}]}]`, `binary:00`, `binary:01`, `binary:02`, `binary:03`,
			`binary:04`, `binary:05`, `binary:06`, `binary:07`, `binary:08`, `binary:09`),
		`7 ack | OTHER: easyrtcMsg with 10 {"msgData":[{"_placeholder":true` +
			`,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2},{"_placeholder":true` +
			`,"num":3},{"_placeholder":true,"num":4},{"_placeholder":true,"num":5},{"_placeholder":true` +
			`,"num":6},{"_placeholder":true,"num":7},{"_placeholder":true,"num":8},{"_placeholder":true` +
			`,"num":9}],"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER"} ` +
			`| OTHER: binary:00 | OTHER: binary:01 | OTHER: binary:02 | OTHER: binary:03 | ` +
			`OTHER: binary:04 | OTHER: binary:05 | OTHER: binary:06 | OTHER: binary:07 | OTHER: binary:08 | ` +
			`OTHER: binary:09`},
	{"message to a room with attachments",
		inTurn(`52-7["easyrtcMsg",{"msgType":"chat","targetRoom":"den","msgData":[{"_placeholder":true`+
			`,"num":0},{"_placeholder":true,"num":1}]}]`, `binary:01`, `binary:02`),
		`7 ack | OTHER: easyrtcMsg with 2 {"msgData":[{"_placeholder":true` +
			`,"num":0},{"_placeholder":true,"num":1}],"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetRoom":"den"} | OTHER: binary:01 | OTHER: binary:02`},
	{"message with an attachment for nobody",
		inTurn(`51-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"nobody"`+
			`,"msgData":{"_placeholder":true,"num":0}}]`, `binary:01`),
		`7 MSG_REJECT_GEN_FAIL`},
	{"message with an attachment for a type",
		inTurn(`51-7["easyrtcMsg",{"msgType":{"_placeholder":true,"num":0},"targetEasyrtcid":"OTHER"}]`,
			`binary:01`),
		`7 MSG_REJECT_BAD_TYPE`},
	{"message with an attachment for a target",
		inTurn(`51-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":{"_placeholder":true,"num":0}}]`,
			`binary:01`),
		`7 MSG_REJECT_TARGET_EASYRTCID`},
	{"message with one attachment twice",
		inTurn(`51-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER"`+
			`,"msgData":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]}]`, `binary:01`),
		`7 ack | OTHER: easyrtcMsg with 2 {"msgData":[{"_placeholder":true` +
			`,"num":0},{"_placeholder":true,"num":1}],"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER"} | OTHER: binary:01 | OTHER: binary:01`},
	{"message with attachments in another order",
		inTurn(`52-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER"`+
			`,"msgData":[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]}]`, `binary:01`,
			`binary:02`),
		`7 ack | OTHER: easyrtcMsg with 2 {"msgData":[{"_placeholder":true` +
			`,"num":0},{"_placeholder":true,"num":1}],"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER"} | OTHER: binary:02 | OTHER: binary:01`},
	{"message with an attachment that nothing refers to",
		inTurn(`51-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER","msgData":1}]`, `binary:01`),
		`7 ack | OTHER: easyrtcMsg {"msgData":1,"msgType":"chat","senderEasyrtcid":"SELF"` +
			`,"targetEasyrtcid":"OTHER"}`},
	{"message with no attachment",
		`50-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER","msgData":1}]`,
		`closed 1005 | OTHER: easyrtcCmd roomData den-SELF`},
	{"message with a placeholder for nothing",
		inTurn(`51-7["easyrtcMsg",{"msgType":"chat","targetEasyrtcid":"OTHER"`+
			`,"msgData":{"_placeholder":true,"num":1}}]`, `binary:01`),
		`closed 1005 | OTHER: easyrtcCmd roomData den-SELF`},
	{"message with a placeholder as text",
		messageOf("chat", `,"targetEasyrtcid":"OTHER","msgData":{"_placeholder":true,"num":0}`),
		`7 ack | OTHER: easyrtcMsg {"msgData":{"_placeholder":true,"num":0},"msgType":"chat"` +
			`,"senderEasyrtcid":"SELF","targetEasyrtcid":"OTHER"}`},
	{"offer with an attachment",
		inTurn(`51-7["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"OTHER"`+
			`,"msgData":{"b":{"_placeholder":true,"num":0}}}]`, `binary:01`),
		`7 ack | OTHER: easyrtcCmd with 1 {"msgData":{"b":{"_placeholder":true,"num":0}}` +
			`,"msgType":"offer","senderEasyrtcid":"SELF"} | OTHER: binary:01`},
	{"offer that is an attachment",
		inTurn(`51-7["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"OTHER"`+
			`,"msgData":{"_placeholder":true,"num":0}}]`, `binary:01`),
		`7 ack | OTHER: easyrtcCmd with 1 {"msgData":{"_placeholder":true,"num":0},"msgType":"offer"` +
			`,"senderEasyrtcid":"SELF"} | OTHER: binary:01`},
	{"setRoomApiField with an attachment",
		inTurn(`51-7["easyrtcCmd",{"msgType":"setRoomApiField"`+
			`,"msgData":{"setRoomApiField":{"roomName":"den","field":{"b":{"_placeholder":true,"num":0}}}}}]`,
			`binary:01`),
		`7 with 1 roomData den+self@SELF{"b":{"_placeholder":true` +
			`,"num":0}} | binary:01 | ` +
			`OTHER: easyrtcCmd with 1 roomData den+self@SELF{"b":{"_placeholder":true` +
			`,"num":0}} | OTHER: binary:01`},
}
