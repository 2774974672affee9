package interop

import "strings"

// asksFor is a frame of protoo that has a member of any kind: a request for new parameters of
// a transport.
func asksFor(members string) string {
	return `{"request":true,` + members + `,"method":"mediasoup-request",` +
		`"data":{"method":"restartTransport","target":"peer","id":1}}`
}

const (
	bodyOfRestart = `{"method":"restartTransport","target":"peer","id":1}`
	bodyOfLeave   = `{"method":"leave","target":"peer","notification":true}`
)

// mediasoupFrames are what protoo is asked to understand.
var mediasoupFrames = []mediasoupCase{
	{"frame", asksFor(`"id":1`), ``},
	{"frame of the id 0", asksFor(`"id":0`), ``},
	{"frame of the id -1", asksFor(`"id":-1`), ``},
	{"frame of the id 1.5", asksFor(`"id":1.5`), ``},
	{"frame of the id 1.0", asksFor(`"id":1.0`), ``},
	{"frame of the id 1e3", asksFor(`"id":1e3`), ``},
	{"frame of the id -0", asksFor(`"id":-0`), ``},
	{"frame of a great id", asksFor(`"id":9007199254740993`), ``},
	{"frame of a greater id", asksFor(`"id":12345678901234567890123456789012345`), ``},
	{"frame of an id beyond numbers", asksFor(`"id":1e400`), ``},
	{"frame of a text for an id", asksFor(`"id":"1"`), ``},
	{"frame of the id null", asksFor(`"id":null`), ``},
	{"frame of the id true", asksFor(`"id":true`), ``},
	{"frame of an array for an id", asksFor(`"id":[1]`), ``},
	{"frame without an id", asksFor(`"x":1`), ``},
	{"frame of an id twice", inTurn(asksFor(`"id":1`), asksFor(`"id":1`)), ``},

	{"request 1", `{"request":1,"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"request a text", `{"request":"false","id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"request an array", `{"request":[],"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"request 0", `{"request":0,"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"request 0.0", `{"request":-0.0e5,"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"request false", `{"request":false,"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"request null", `{"request":null,"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"request an empty text", `{"request":"","id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"request and response", `{"response":true,"request":true,"id":1,"ok":true,"method":"mediasoup-request","data":` +
		bodyOfRestart + `}`, ``},
	{"request and notification", `{"notification":true,"request":true,"id":1,"method":"mediasoup-request","data":` +
		bodyOfRestart + `}`, ``},
	{"response and notification", `{"notification":true,"response":true,"id":1,"ok":true,` +
		`"method":"mediasoup-notification","data":` + bodyOfLeave + `}`, ``},
	{"response to nothing", `{"response":true,"id":1,"ok":true,"data":{}}`, ``},
	{"response of an error to nothing", `{"response":true,"id":1,"errorCode":500,"errorReason":"x"}`, ``},
	{"response of a text for an id", `{"response":true,"id":"x","ok":true,"data":{}}`, ``},
	{"notification with an id", `{"notification":true,"id":1,"method":"mediasoup-notification","data":` + bodyOfLeave + `}`, ``},
	{"notification with a text for an id", `{"notification":true,"id":"x","method":"mediasoup-notification","data":` +
		bodyOfLeave + `}`, ``},
	{"notification 1", `{"notification":1,"method":"mediasoup-notification","data":` + bodyOfLeave + `}`, ``},
	{"notification in mediasoup-request", `{"notification":true,"method":"mediasoup-request","data":` + bodyOfLeave + `}`, ``},
	{"frame of nothing", `{}`, ``},
	{"frame of neither", `{"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},

	{"frame without a method", `{"request":true,"id":1,"data":` + bodyOfRestart + `}`, ``},
	{"frame of the method 7", `{"request":true,"id":1,"method":7,"data":` + bodyOfRestart + `}`, ``},
	{"frame of no method", `{"request":true,"id":1,"method":"","data":` + bodyOfRestart + `}`, ``},
	{"frame of the method null", `{"request":true,"id":1,"method":null,"data":` + bodyOfRestart + `}`, ``},
	{"frame of an unknown method", `{"request":true,"id":1,"method":"x","data":` + bodyOfRestart + `}`, ``},
	{"frame of a method in capitals", `{"request":true,"id":1,"method":"Mediasoup-Request","data":` + bodyOfRestart + `}`, ``},
	{"notification of no method", `{"notification":true,"method":"","data":` + bodyOfLeave + `}`, ``},
	{"notification of an unknown method", `{"notification":true,"method":"x","data":` + bodyOfLeave + `}`, ``},
	{"notification of the method 8", `{"notification":true,"method":8,"data":` + bodyOfLeave + `}`, ``},

	{"frame without data", `{"request":true,"id":1,"method":"mediasoup-request"}`, ``},
	{"frame with null for data", `{"request":true,"id":1,"method":"mediasoup-request","data":null}`, ``},
	{"frame with 0 for data", `{"request":true,"id":1,"method":"mediasoup-request","data":0}`, ``},
	{"frame with false for data", `{"request":true,"id":1,"method":"mediasoup-request","data":false}`, ``},
	{"frame with an empty text for data", `{"request":true,"id":1,"method":"mediasoup-request","data":""}`, ``},
	{"notification without data", `{"notification":true,"method":"mediasoup-notification"}`, ``},
	{"frame with members", `{"request":true,"id":1,"method":"mediasoup-request","x":[1],"data":` + bodyOfRestart + `}`, ``},
	{"frame in another order", `{"data":` + bodyOfRestart + `,"method":"mediasoup-request","id":1,"request":true}`, ``},
	{"frame with blanks", " \t" + `{ "request" : true, "id":1 ,"method": "mediasoup-request","data" : ` + bodyOfRestart + "} \r", ``},
	{"frame with escapes", `{"re\u0071uest":true,"id":1,"method":"mediasoup\u002drequest","data":` + bodyOfRestart + `}`, ``},
	{"frame of names of other case", `{"Request":true,"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"members of other case", `? {"method":"restartTransport","target":"peer","ID":1,"Id":2}`, ``},

	{"frame that is binary", "binary:7b7d", ``},
	{"frame that is empty and binary", "binary:", ``},
	{"frame that is empty", "", ``},
	{"frame of an array", "[]", ``},
	{"frame of an array of a frame", "[" + asksFor(`"id":1`) + "]", ``},
	{"frame of a number", "7", ``},
	{"frame of a text", `"x"`, ``},
	{"frame of true", "true", ``},
	{"frame of no JSON", `{"request":true,`, ``},
	{"frame of two frames", asksFor(`"id":1`) + asksFor(`"id":2`), ``},
	{"frame with a comma at its end", strings.TrimSuffix(asksFor(`"id":1`), "}") + ",}", ``},
	{"frame with a byte order mark", "\ufeff" + asksFor(`"id":1`), ``},
	{"frame with a comment", asksFor(`"id":1`) + " // x", ``},
	{"frame with NaN", asksFor(`"id":NaN`), ``},
	{"frame with a control character", asksFor(`"x":"` + "\x01" + `","id":1`), ``},
	{"frame with half a pair of surrogates", asksFor(`"x":"\ud800","id":1`), ``},
	{"data with half a pair of surrogates", `? {"method":"restartTransport","id":1,"x":"\ud800"}`, ``},

	{"duplicate id", asksFor(`"id":7,"id":1`), ``},
	{"duplicate request", `{"request":false,"request":true,"id":1,"method":"mediasoup-request","data":` + bodyOfRestart + `}`, ``},
	{"duplicate method", `? {"method":"foo","method":"restartTransport","target":"peer","id":1}`, ``},
	{"duplicate in data", `? {"method":"restartTransport","target":"peer","id":2,"id":1}`, ``},
	{"duplicate in a notification", `! {"method":"leave","target":"peer","notification":true,"appData":1,"appData":2}`, ``},
	{"duplicate within", `! {"method":"leave","target":"peer","notification":true,"appData":{"a":1,"a":2}}`, ``},
	{"special name", `? {"method":"restartTransport","target":"peer","id":1,"__proto__":{"id":2}}`, ``},
	{"special method", asking("__proto__", ""), ``},
	{"special method of the demo", `{"request":true,"id":1,"method":"constructor","data":{}}`, ``},
	{"deep frame", asksFor(`"x":<[*60><]*60>,"id":1`), ``},
	{"deeper frame", asksFor(`"x":<[*70><]*70>,"id":1`), ``},
	{"deep data", `? {"method":"restartTransport","target":"peer","id":1,"x":<[*60><]*60>}`, ``},
	{"deeper data", `? {"method":"restartTransport","target":"peer","id":1,"x":<[*70><]*70>}`, ``},
	{"very deep data", `? {"method":"restartTransport","target":"peer","id":1,"x":<[*5000><]*5000>}`, ``},
	{"frame of 64 KiB", asksFor(`"x":"<x*65536>","id":1`), ``},
	{"frame of 900 KB", asksFor(`"x":"<x*900000>","id":1`), ``},
	{"frame of more than is read", asksFor(`"x":"<x*1000000>","id":1`), ``},
	{"data of 64 KiB that are told to others", `! {"method":"leave","target":"peer","notification":true,"appData":"<x*65536>"}`, ``},

	{"many frames at once", inTurn(asking("restartTransport", `,"id":1`), asking("foo", ""), asking("restartTransport", `,"id":2`),
		transporting(6), asking("restartTransport", `,"id":9`)), ``},
}
