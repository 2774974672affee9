package mediasoupproto

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const secretText = "hunter2hunter2"

func TestRedactHidesPasswordsAndTheDataOfTheApplication(t *testing.T) {
	t.Parallel()
	secret := `"` + secretText + `"`
	login := `{"request":true,"id":4,"method":"login","data":{"token":` + secret + `}}`
	chat := `{"notification":true,"method":"chat","data":` + secret + `}`
	for text, want := range map[string]string{
		asked(1, `{"method":"join","target":"room","peerName":"alice","appData":{"token":`+secret+`}}`): asked(1,
			`{"appData":"[hidden]","method":"join","peerName":"alice","target":"room"}`),
		granted(2, `{"iceParameters":{"usernameFragment":"u","password":`+secret+`},"iceCandidates":[]}`): granted(2,
			`{"iceCandidates":[],"iceParameters":{"password":"[hidden]","usernameFragment":"u"}}`),
		granted(2, `{"iceParameters":{"Password":`+secret+`}}`): granted(2, `{"iceParameters":{"Password":"[hidden]"}}`),
		granted(3, `{"peers":[{"name":"bob","appData":[`+secret+`],"consumers":[{"id":7,"AppData":`+secret+
			`}]}]}`): granted(3, `{"peers":[{"appData":"[hidden]","consumers":[{"AppData":"[hidden]","id":7}],"name":"bob"}]}`),
		told(ofPeer("closed", `,"appData":`+secret)): told(
			`{"appData":"[hidden]","method":"closed","notification":true,"target":"peer"}`),
		login: `{"data":"[hidden]","id":4,"method":"login","request":true}`,
		chat:  `{"data":"[hidden]","method":"chat","notification":true}`,
		` {"notification":true,"method":"chat"} `:                              `{"method":"chat","notification":true}`,
		`{"request":true,"id":5,"method":"mediasoup-request","data":` + secret: hidden,
		`{"x":1,"x":` + secret + `}`:                                           hidden,
		secretText:                                                             hidden,
		"":                                                                     hidden,
	} {
		data := []byte(text)
		got := string(Redact(data))
		require.Equal(t, text, string(data), "its argument stays")
		require.NotContains(t, got, secretText)
		if want == hidden {
			require.Equal(t, want, got)
		} else {
			require.JSONEq(t, want, got)
		}
	}
}

func TestRedactLeavesEverythingElseAsItIs(t *testing.T) {
	t.Parallel()
	left := 0
	lines := wireLines(t)
	for i := range lines {
		l := &lines[i]
		if l.Dir != "c2s" && l.Dir != "s2c" || l.Body == nil {
			continue
		}
		var wire string
		switch l.Kind {
		case "request":
			wire = `{"request":true,"id":7,"method":"mediasoup-request","data":` + string(l.Body) + `}`
		case "notification":
			wire = told(string(l.Body))
		case "response":
			wire = granted(7, string(l.Body))
		default:
			continue
		}
		got := string(Redact([]byte(wire)))
		if got == hidden { // what no peer of ours takes
			_, err := Decode([]byte(wire))
			require.Error(t, err, l.place())
			continue
		}
		if strings.Contains(wire, `"appData"`) || strings.Contains(wire, `"password"`) {
			require.Contains(t, got, hidden, l.place())
			continue
		}
		left++
		require.JSONEq(t, wire, got, l.place())
	}
	require.Greater(t, left, 400)
}

// The numbers and the letters of what is not hidden stay as they are.
func TestRedactDoesNotChangeNumbersOrLetters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"a":12345678901234567890123,"b":1e400,"c":1.50,"d":-0}`, `{"a":"<b>&é😀"}`, `{"a":[null,true,{}]}`, `[]`, `7`,
	} {
		require.Equal(t, text, string(Redact([]byte(text))))
	}
}

func TestMessagesHideTheirSecretsInEveryHandler(t *testing.T) {
	t.Parallel()
	secret := json.RawMessage(`"` + secretText + `"`)
	ice := &ICEParameters{UsernameFragment: "visible", Password: secretText}
	result := json.RawMessage(`{"iceParameters":{"password":"` + secretText + `"}}`)
	for _, m := range []any{
		new(Join), new(ICEParameters), new(CreateTransportResult), new(RestartTransportResult), new(Response),
		new(Application),
		&Join{PeerName: "visible", AppData: secret}, ice, &CreateTransportResult{ICEParameters: ice},
		&RestartTransportResult{ICEParameters: ice}, &Response{Head: Head{RequestID: "visible"}, Result: result},
		&Response{Head: Head{RequestID: "1"}, Error: &Error{Reason: "visible"}, Result: result},
		&Application{Method: "visible", Data: secret},
	} {
		var text, object bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("sent", "m", m)
		slog.New(slog.NewJSONHandler(&object, nil)).Info("sent", "m", m)
		for _, out := range []string{text.String(), object.String()} {
			require.NotContains(t, out, secretText)
			require.NotContains(t, out, "PANIC", "%T", m)
		}
		if b, err := json.Marshal(m); err == nil && strings.Contains(string(b), "visible") {
			require.Contains(t, text.String(), "visible", "%T", m)
			require.Contains(t, object.String(), "visible", "%T", m)
		}
	}
}
