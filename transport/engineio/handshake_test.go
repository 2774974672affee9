package engineio_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

func TestHandshakesOfGenuineServers(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]engineio.Handshake{
		`{"sid":"-SFLexcIO4D4pQGiAAAA","upgrades":["websocket"],` +
			`"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`: {
			SID: "-SFLexcIO4D4pQGiAAAA", Upgrades: []string{"websocket"},
			PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1_000_000,
		},
		`{"sid":"dN69bTY9cYmSkQ30AAAA","upgrades":[],"pingInterval":400,"pingTimeout":300}`: {
			SID: "dN69bTY9cYmSkQ30AAAA", Upgrades: []string{},
			PingInterval: 400 * time.Millisecond, PingTimeout: 300 * time.Millisecond,
		},
	} {
		var got engineio.Handshake
		require.NoError(t, json.Unmarshal([]byte(wire), &got))
		require.Equal(t, want, got)
		data, err := json.Marshal(got)
		require.NoError(t, err)
		require.Equal(t, wire, string(data))
	}
}

func TestHandshakeWithoutUpgradesHasAnEmptyList(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(engineio.Handshake{SID: "s", PingInterval: time.Second, PingTimeout: time.Second})
	require.NoError(t, err)
	require.Equal(t, `{"sid":"s","upgrades":[],"pingInterval":1000,"pingTimeout":1000}`, string(data))
}

func TestUnknownMembersOfAHandshakeAreIgnored(t *testing.T) {
	t.Parallel()
	var h engineio.Handshake
	wire := `{"x":{"a":1,"b":{"a":2}},"sid":"s","y":["x","x"],"pingInterval":1,"pingTimeout":2}`
	require.NoError(t, json.Unmarshal([]byte(wire), &h))
	require.Equal(t, engineio.Handshake{SID: "s", PingInterval: time.Millisecond, PingTimeout: 2 * time.Millisecond}, h)
}

func TestBrokenHandshakesAreRefused(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{
		`null`, `[]`, `"0"`, `1`, `{}`,
		`{"sid":"","pingInterval":1,"pingTimeout":1}`,
		`{"sid":1,"pingInterval":1,"pingTimeout":1}`,
		`{"SID":"s","pingInterval":1,"pingTimeout":1}`,
		`{"sid":"s","sid":"s","pingInterval":1,"pingTimeout":1}`,
		`{"sid":"s","x":{"a":1,"a":2},"pingInterval":1,"pingTimeout":1}`,
		`{"sid":"s","x":[{"a":1},{"a":1,"b":[],"a":2}],"pingInterval":1,"pingTimeout":1}`,
		`{"sid":"s","pingTimeout":1}`,
		`{"sid":"s","pingInterval":1}`,
		`{"sid":"s","pingInterval":0,"pingTimeout":1}`,
		`{"sid":"s","pingInterval":1.5,"pingTimeout":1}`,
		`{"sid":"s","pingInterval":1,"pingTimeout":-1}`,
		`{"sid":"s","pingInterval":9223372036854775807,"pingTimeout":1}`,
		`{"sid":"s","pingInterval":1,"pingTimeout":1,"maxPayload":-1}`,
		`{"sid":"s","pingInterval":1,"pingTimeout":1,"upgrades":"websocket"}`,
		"{\"sid\":\"\xff\",\"pingInterval\":1,\"pingTimeout\":1}",
		`{"sid":"s","pingInterval":1,"pingTimeout":1,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
	} {
		var h engineio.Handshake
		require.Error(t, h.UnmarshalJSON([]byte(wire)), wire)
	}
	deep := `{"sid":"s","pingInterval":1,"pingTimeout":1,"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`
	var h engineio.Handshake
	require.NoError(t, h.UnmarshalJSON([]byte(deep)))
}

func TestSessionIDsAreLongAndDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		id := engineio.NewSID()
		require.Regexp(t, `^[A-Za-z0-9_-]{20}$`, id)
		require.False(t, seen[id])
		seen[id] = true
	}
}
