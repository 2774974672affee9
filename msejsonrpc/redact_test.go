package msejsonrpc

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

const secretToken = "eyJhbGciOiJIUzI1NiJ9.hunter2.signature"

func TestRedactHidesTheToken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{
			`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"` + secretToken + `","version":"1.0"}}`,
			`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"[hidden]","version":"1.0"}}`,
		},
		{ // further members may hold anything
			`{"id":"a","method":"auth","jsonrpc":"2.0","params":{"token":"","version":"2.0","Token":"` + secretToken + `"}}`,
			`{"id":"a","method":"auth","jsonrpc":"2.0","params":{"token":"[hidden]","version":"2.0"}}`,
		},
		{
			`{"method":"auth","jsonrpc":"2.0","params":{"token":"t"},"copy":"` + secretToken + `"}`,
			`{"method":"auth","jsonrpc":"2.0","params":{"token":"[hidden]","version":""}}`,
		},
		{
			`{"id":2,"method":"\u0061uth","jsonrpc":"2.0","params":{"t\u006fken":"` + secretToken + `"}}`,
			`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"[hidden]","version":""}}`,
		},
	} {
		require.Equal(t, tt.want, string(Redact([]byte(tt.text))))
	}
}

func TestRedactShowsNothingOfWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", secretToken, `"` + secretToken + `"`, `[{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"` + secretToken + `"}}]`,
		`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":["` + secretToken + `"],"version":"1.0"}}`,
		`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"` + secretToken + `","version":1.0}}`,
		`{"id":2,"method":"auth","jsonrpc":"2.0","params":["` + secretToken + `"]}`,
		`{"id":2,"method":"auth","params":{"token":"` + secretToken + `","version":"1.0"}}`,
		`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"` + secretToken + `","version":"1.0"}`,
	} {
		require.Equal(t, hidden, string(Redact([]byte(text))), text)
	}
}

func TestRedactLeavesEverythingElseAsItIs(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		before := strings.Clone(v.Wire)
		data := []byte(v.Wire)
		got := string(Redact(data))
		require.Equal(t, before, string(data), "%s: its argument stays", v.Name)
		m, err := Decode(data)
		_, auth := m.(*Auth)
		if err != nil || auth {
			continue
		}
		require.Equal(t, v.Wire, got, v.Name)
	}
}

func TestAuthHidesItsTokenInEveryHandler(t *testing.T) {
	t.Parallel()
	m := &Auth{ID: NumberID(7), Token: secretToken, Version: Version, Extra: Fields{"token2": []byte(`"` + secretToken + `"`)}}
	var text, object bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("sent", "message", m)
	slog.New(slog.NewJSONHandler(&object, nil)).Info("sent", "message", m)
	require.Contains(t, text.String(), `message.id=7 message.token=[hidden] message.version=1.0`)
	require.Contains(t, object.String(), `"message":{"id":"7","token":"[hidden]","version":"1.0"}`)
	require.NotContains(t, text.String()+object.String(), "hunter2")
}

func TestALoggedSessionDoesNotShowTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		server := NewServer(&ServerOptions{AllowAll: true, Logger: logger})
		near, far := transport.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(t.Context(), far) }()
		client, err := Connect(t.Context(), transport.Logged(near, logger, Redact), &ClientOptions{Token: secretToken})
		require.NoError(t, err)
		require.NoError(t, client.Disconnect())
		require.NoError(t, <-ended)
		require.NoError(t, server.Close())
		synctest.Wait()

		require.NotContains(t, log.String(), "hunter2")
		require.Contains(t, log.String(), fmt.Sprintf("%q", `{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"[hidden]","version":"1.0"}}`))
		require.Contains(t, log.String(), "authenticated", "the rest is there")
	})
}
