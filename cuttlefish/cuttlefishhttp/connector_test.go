package cuttlefishhttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
)

// page is what a page does with the connector: ask for its device, send ten payloads
// and wait for their echoes.
const page = `
const [connector, address, mode] = process.argv.slice(1);
globalThis.location = new URL(address);
console.log = text => console.error(text);
const m = await import(connector);
const c = await m.createConnector({openTimeout: 60000, ...(mode === 'polling' && {webSocket: null})});
const result = {id: m.deviceId(), echoes: []};
try {
  const reply = await c.requestDevice(m.deviceId());
  Object.assign(result, reply);
  c.expectMessagesSoon(1000);
  await new Promise((resolve, reject) => {
    c.onDeviceMsg(payload => {
      result.echoes.push(payload.n);
      if (result.echoes.length === 10) resolve();
    });
    for (let n = 0; n < 10; n++) c.sendToDevice({n}).catch(reject);
  });
} catch (e) {
  result.error = e.message;
}
process.stdout.write(JSON.stringify(result), () => process.exit(0));
`

func TestConnectorOfThePageReachesItsDevice(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	f := newFixture(t, &cuttlefish.ServerOptions{ICEServers: stun}, nil)
	go echo(f.device("a/b c", &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`{"n":1}`)}))
	connector := filepath.Join(t.TempDir(), "server_connector.mjs")
	w := f.do("GET", "/devices/a%2Fb%20c/files/js/server_connector.js", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.NoError(t, os.WriteFile(connector, w.Body.Bytes(), 0o600))
	// Below a prefix, as behind a proxy; without WebSocket below the second one.
	mux := http.NewServeMux()
	mux.Handle("/any/", http.StripPrefix("/any", f.handler))
	mux.Handle("/polled/", http.StripPrefix("/polled", f.handler))
	mux.HandleFunc("/polled/devices/{id}/connect", http.NotFound)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)

	for _, c := range []struct{ name, prefix, id, mode, used, failure string }{
		{"WebSocket", "/any", "a/b c", "", "Using WebSocket signaling", ""},
		{"polling", "/any", "a/b c", "polling", "Using HTTP polling signaling", ""},
		{"fallback", "/polled", "a/b c", "", "Using HTTP polling signaling", ""},
		{"unknown device", "/any", "nope", "", "", "Device not found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), node, "--experimental-websocket", "--input-type=module", "-e", page,
				"--", connector, s.URL+c.prefix+"/devices/"+url.PathEscape(c.id)+"/files/client.html", c.mode)
			var log strings.Builder
			cmd.Stderr = &log
			out, err := cmd.Output()
			require.NoError(t, err, log.String())
			var result struct {
				ID          string
				DeviceInfo  json.RawMessage
				InfraConfig json.RawMessage
				Echoes      []int
				Error       string
			}
			require.NoError(t, json.Unmarshal(out, &result))
			require.Equal(t, c.id, result.ID)
			require.Equal(t, c.failure, result.Error, log.String())
			require.Contains(t, log.String(), c.used)
			if c.failure != "" {
				return
			}
			require.JSONEq(t, `{"n":1}`, string(result.DeviceInfo))
			require.JSONEq(t, `{"message_type":"config","ice_servers":[{"urls":["stun:stun.l.google.com:19302"]}]}`, string(result.InfraConfig))
			require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, result.Echoes)
		})
	}
}
