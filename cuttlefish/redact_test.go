package cuttlefish

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const secretCredential = "hunter2"

func TestRedactHidesTheCredentialsOfTURNServers(t *testing.T) {
	t.Parallel()
	const servers = `[{"urls":["turn:192.0.2.1"],"username":"` + secretCredential + `","credential":"` + secretCredential +
		`","credentialType":"password","Credential":"` + secretCredential + `"},{"urls":["stun:192.0.2.1"]}]`
	const redacted = `[{"urls":["turn:192.0.2.1"],"username":"[hidden]","credential":"[hidden]","credentialType":"password"},` +
		`{"urls":["stun:192.0.2.1"]}]`
	for _, tt := range []struct{ text, want string }{
		{
			`{"message_type":"config","ice_servers":` + servers + `,"more":"` + secretCredential + `"}`,
			`{"message_type":"config","ice_servers":` + redacted + `}`,
		},
		{ // as the operator says it over HTTP, but for its name
			`{"ice_servers":` + servers + `,"message_type":"c\u006fnfig"}`,
			`{"message_type":"config","ice_servers":` + redacted + `}`,
		},
		{
			`{"message_type":"forward","payload":{"type":"request-offer","ice_servers":` + servers + `,"more":"` + secretCredential + `"}}`,
			`{"message_type":"forward","payload":{"type":"request-offer","ice_servers":` + redacted + `}}`,
		},
		{
			`{"message_type":"client_msg","client_id":3,"payload":{"type":"request-offer","ice_servers":` + servers + `}}`,
			`{"message_type":"client_msg","client_id":3,"payload":{"type":"request-offer","ice_servers":` + redacted + `}}`,
		},
		{ // what is no payload may hold anything
			`{"message_type":"forward","payload":"` + secretCredential + `"}`,
			`{"message_type":"forward","payload":"[hidden]"}`,
		},
		{
			`{"message_type":"device_msg","payload":{"type":"request-offer","ice_servers":"` + secretCredential + `"}}`,
			`{"message_type":"device_msg","payload":"[hidden]"}`,
		},
	} {
		require.Equal(t, tt.want, string(Redact([]byte(tt.text))))
	}
}

func TestRedactShowsNothingOfWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", secretCredential, `"` + secretCredential + `"`,
		`{"message_type":"config","ice_servers":"` + secretCredential + `"}`,
		`{"message_type":"config","ice_servers":[{"credential":"` + secretCredential + `"}`,
	} {
		require.Equal(t, hidden, string(Redact([]byte(text))), text)
	}
}

func TestRedactLeavesEverythingElseAsItIs(t *testing.T) {
	t.Parallel()
	same := 0
	for _, v := range readVectors(t) {
		before := strings.Clone(v.Wire)
		data := []byte(v.Wire)
		got := string(Redact(data))
		require.Equal(t, before, string(data), "%s: its argument stays", v.Name)
		if _, err := Decode(data); err != nil || strings.Contains(v.Wire, "ice_servers") || strings.Contains(got, hidden) {
			continue
		}
		require.Equal(t, v.Wire, got, v.Name)
		same++
	}
	require.NotZero(t, same)
}

func TestCredentialsAreHiddenInEveryHandler(t *testing.T) {
	t.Parallel()
	servers := []ICEServer{{URLs: []string{"turn:192.0.2.1"}, Username: secretCredential, Credential: secretCredential}}
	var text, object bytes.Buffer
	for _, m := range []any{&Config{ICEServers: servers}, &RequestOffer{ICEServers: servers}} {
		slog.New(slog.NewTextHandler(&text, nil)).Info("sent", "message", m)
		slog.New(slog.NewJSONHandler(&object, nil)).Info("sent", "message", m)
	}
	require.Equal(t, 2, strings.Count(text.String(), "message.ice_servers=[turn:192.0.2.1]"))
	require.Equal(t, 2, strings.Count(object.String(), `"message":{"ice_servers":["turn:192.0.2.1"]}`))
	require.NotContains(t, text.String()+object.String(), secretCredential)
}
