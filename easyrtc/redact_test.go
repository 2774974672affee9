package easyrtc

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

const secretText = "hunter2hunter2"

func TestRedactHidesCredentialsSessionsAndParameters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","easyrtcsid":"` + secretText + `","username":"alice",` +
			`"credential":{"p":"` + secretText + `"},"roomJoin":{"a":{"roomName":"a","roomParameter":["` + secretText + `"]}},` +
			`"Credential":"` + secretText + `"},"x":"` + secretText + `"}]`: `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1",` +
			`"easyrtcsid":"[hidden]","username":"alice","credential":"[hidden]","roomJoin":{"a":{"roomName":"a","roomParameter":"[hidden]"}}}}]`,
		`21["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"a":{"roomName":"a","roomParameter":{"p":"` + secretText + `"}}}}}]`: `21["easyrtcCmd",` +
			`{"msgType":"roomJoin","msgData":{"roomJoin":{"a":{"roomName":"a","roomParameter":"[hidden]"}}}}]`,
		`30[{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[{"urls":["turn:a"],"username":"u","credential":"` + secretText + `","x":"` +
			secretText + `"}]}}}]`: `30[{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[{"urls":["turn:a"],"username":"[hidden]","credential":"[hidden]"}]}}}]`,
		`20["easyrtcCmd",{"msgType":"sessionData","msgData":{"sessionData":{"easyrtcsid":"` + secretText + `","field":{}}}}]`: `20["easyrtcCmd",{"msgType":"sessionData",` +
			`"msgData":{"sessionData":{"easyrtcsid":"[hidden]","field":{}}}}]`,
		`20["easyrtcAuth",{"msgType":"Authenticate","msgData":{"credential":"` + secretText + `"}}]`: hidden,
		`20["easyrtcAuth","` + secretText + `"]`:                                                     hidden,
		`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"credential":"` + secretText + `"}}`:  hidden,
		`0{"token":"` + secretText + `"}`:                                                            `0{}`,
		`0`:                                                                                          `0`,
		secretText:                                                                                   hidden,
	} {
		require.Equal(t, want, string(Redact([]byte(text))), text)
	}
}

func TestRedactLeavesEverythingElseAsItIs(t *testing.T) {
	t.Parallel()
	left := 0
	for _, v := range readVectors(t) {
		data := []byte(v.Wire)
		got := Redact(data)
		require.Equal(t, v.Wire, string(data), "%s: its argument stays", v.Name)
		m, err := Decode(data)
		if err != nil {
			continue
		}
		switch m.(type) {
		case *Authenticate, *ConnectPacket, *RoomJoin, *Token, *ICEConfig, *SessionData, *Unknown:
			continue
		}
		left++
		require.Equal(t, v.Wire, string(got), v.Name)
	}
	require.Greater(t, left, 50)
}

func TestMessagesHideTheirSecretsInEveryHandler(t *testing.T) {
	t.Parallel()
	session := &Session{EasyrtcSID: secretText}
	ice := &ICEServers{ICEServers: []ICEServer{{Credential: secretText}}}
	for _, m := range []Message{
		&Authenticate{}, &RoomJoin{}, &Token{}, &ICEConfig{}, &SessionData{},
		&Authenticate{MsgData: &AuthenticateData{EasyrtcSID: new(secretText), Credential: []byte(`"` + secretText + `"`)}},
		&RoomJoin{MsgData: &RoomJoinData{RoomJoin: map[string]RoomRequest{"a": {RoomParameter: []byte(`"` + secretText + `"`)}}}},
		&Token{MsgData: &TokenData{SessionData: session, ICEConfig: ice}},
		&ICEConfig{MsgData: &ICEConfigData{ICEConfig: ice}},
		&SessionData{MsgData: &SessionDataData{SessionData: session}},
	} {
		var text, object bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("sent", "m", m)
		slog.New(slog.NewJSONHandler(&object, nil)).Info("sent", "m", m)
		require.NotContains(t, text.String()+object.String(), secretText)
	}
}
