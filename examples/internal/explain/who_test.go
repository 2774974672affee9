package explain

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// whoIs returns what the arrows of a recording say last of each connection's client.
func whoIs(arrows []Arrow) map[string]string {
	who := make(map[string]string)
	for _, a := range arrows {
		if a.Who != "" {
			who[a.Conn] = a.Who
		}
	}
	return who
}

func TestAConnectionIsCalledByItsClient(t *testing.T) {
	t.Parallel()
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"no","userId":"u-7"}`))
	subject := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"s-8"}`))
	for name, c := range map[string]struct {
		protocol string
		entries  []capture.Entry
		want     string
	}{
		"a user of Galène by the name that it asks for": {"galene", []capture.Entry{
			message("1", capture.Client, `{"type":"join","kind":"join","group":"g","username":"ada"}`),
		}, "ada"},
		"a user of Galène by the name that it gets": {"galene", []capture.Entry{
			message("1", capture.Client, `{"type":"join","kind":"join","group":"g","token":"t"}`),
			message("1", capture.Server, `{"type":"joined","kind":"join","group":"g","username":"bob"}`),
		}, "bob"},
		"a client of Galène not by a join of the server's": {"galene", []capture.Entry{
			message("1", capture.Server, `{"type":"join","kind":"join","group":"g","username":"ada"}`),
		}, ""},
		"a device": {"cuttlefish", []capture.Entry{
			opened("1", "/register_device"),
			message("1", capture.Client, `{"message_type":"register","device_id":"cvd-1"}`),
		}, "cvd-1"},
		"a client of a device": {"cuttlefish", []capture.Entry{
			opened("1", "/connect_client"),
			message("1", capture.Client, `{"message_type":"connect","device_id":"cvd-1"}`),
		}, "client of cvd-1"},
		"a client of a device in its path": {"cuttlefish", []capture.Entry{
			opened("1", "/devices/cvd%2F1/connect?x=/connect"),
		}, "client of cvd/1"},
		"a user of EasyRTC by its name and by that which the others call it": {"easyrtc", []capture.Entry{
			opened("1", "/socket.io/?EIO=4&transport=websocket"),
			message("1", capture.Client, `420["easyrtcAuth",{"msgType":"authenticate","msgData":`+
				`{"apiVersion":"1.1.1","applicationName":"app","username":"ada"}}]`),
			message("1", capture.Server, `430[{"msgType":"token","msgData":{"easyrtcid":"id-1"}}]`),
		}, "ada id-1"},
		"a user of MSE by what its token claims": {"mse", []capture.Entry{
			message("1", capture.Client, `{"id":2,"method":"auth","jsonrpc":"2.0",`+
				`"params":{"token":"e30.`+claims+`.x","version":"1.0"}}`),
		}, "u-7"},
		"a user of MSE by the subject of its token": {"mse", []capture.Entry{
			message("1", capture.Client, `{"id":2,"method":"auth","jsonrpc":"2.0",`+
				`"params":{"token":"e30.`+subject+`.x","version":"1.0"}}`),
		}, "s-8"},
		"a user of MSE whose token is none": {"mse", []capture.Entry{
			message("1", capture.Client, `{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"a.!.c","version":"1.0"}}`),
		}, ""},
		"a user of MSE by what the server knows": {"mse", []capture.Entry{
			message("1", capture.Client, `{"id":4,"method":"whoami","jsonrpc":"2.0"}`),
			message("1", capture.Server, `{"id":4,"jsonrpc":"2.0","result":{"userId":"u-9"}}`),
		}, "u-9"},
		"a peer of mediasoup in its address": {"mediasoup", []capture.Entry{
			opened("1", "/?roomId=room&peerName=alice%20b"),
		}, "alice b"},
		"a peer of mediasoup by its join": {"mediasoup", []capture.Entry{
			opened("1", "/"),
			client(request(1, join)),
		}, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, whoIs(explained(t, c.protocol, numbered(c.entries)))["1"])
		})
	}
}

func TestALongNameIsCut(t *testing.T) {
	t.Parallel()
	arrows := explained(t, "cuttlefish", []capture.Entry{
		message("1", capture.Client, `{"message_type":"register","device_id":"`+strings.Repeat("d", 1000)+`"}`),
	})
	require.LessOrEqual(t, len(whoIs(arrows)["1"]), 80)
}

func TestAnAnswerThatSaysNothingIsAnAck(t *testing.T) {
	t.Parallel()
	arrows := explained(t, "easyrtc", numbered([]capture.Entry{
		opened("1", "/socket.io/?EIO=4&transport=websocket"),
		message("1", capture.Client, `421["easyrtcCmd",{"msgType":"setPresence","msgData":{"setPresence":{"show":"away"}}}]`),
		message("1", capture.Server, `431[{"msgType":"ack"}]`),
		message("1", capture.Client, `422["easyrtcCmd",{"msgType":"getRoomList"}]`),
		message("1", capture.Server, `432[{"msgType":"roomList","msgData":{"roomList":{}}}]`),
	}))
	acks := map[string]bool{}
	for _, a := range arrows {
		acks[a.Name] = a.Ack
	}
	require.Equal(t, map[string]bool{
		"open": false, "setPresence": false, "ack (setPresence)": true, "getRoomList": false, "roomList (getRoomList)": false,
	}, acks)

	acks = map[string]bool{}
	for _, a := range explained(t, "mediasoup", numbered([]capture.Entry{
		opened("1", "/"),
		message("1", capture.Client, `{"request":true,"id":1,"method":"a","data":{}}`),
		message("1", capture.Server, `{"response":true,"id":1,"ok":true,"data":{}}`),
		message("1", capture.Client, `{"request":true,"id":2,"method":"b","data":{}}`),
		message("1", capture.Server, `{"response":true,"id":2,"ok":true,"data":{"x":1}}`),
		message("1", capture.Client, `{"request":true,"id":3,"method":"c","data":{}}`),
		message("1", capture.Server, `{"response":true,"id":3,"ok":false,"errorCode":500,"errorReason":"no"}`),
	})) {
		acks[a.Name] = a.Ack
	}
	require.Equal(t, map[string]bool{
		"open": false, "a": false, "response a": true, "b": false, "response b": false, "c": false, "error c": false,
	}, acks)
}
