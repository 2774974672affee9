// Package firefox drives a headless Firefox in tests, as package chromium beside it does with
// Chromium. Nothing in it knows a protocol.
package firefox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// commands are the names under which distributions install it.
var commands = []string{"firefox-esr", "firefox"}

const (
	starting = 60 * time.Second // how long the browser may take until it takes commands
	closing  = 10 * time.Second // and to end by itself before it is killed
)

// preferences are those of the profile, as about:config has them. Tests want fakes for camera
// and microphone and nobody who has to be asked, and nothing may leave the machine: no name
// resolves, and what a browser does by itself is off.
var preferences = map[string]string{
	"media.navigator.permission.disabled":               "true",
	"media.navigator.streams.fake":                      "true",
	"media.autoplay.default":                            "0",
	"media.gmp-manager.updateEnabled":                   "false",
	"media.peerconnection.ice.obfuscate_host_addresses": "false",
	"network.dns.disabled":                              "true",
	"network.dns.disablePrefetch":                       "true",
	"network.prefetch-next":                             "false",
	"network.predictor.enabled":                         "false",
	"network.http.speculative-parallel-limit":           "0",
	"network.captive-portal-service.enabled":            "false",
	"network.connectivity-service.enabled":              "false",
	"network.trr.mode":                                  "5",
	"browser.safebrowsing.malware.enabled":              "false",
	"browser.safebrowsing.phishing.enabled":             "false",
	"browser.safebrowsing.downloads.enabled":            "false",
	"browser.safebrowsing.update.enabled":               "false",
	"browser.search.update":                             "false",
	"browser.region.update.enabled":                     "false",
	"browser.region.network.url":                        `""`,
	"browser.newtabpage.enabled":                        "false",
	"browser.topsites.contile.enabled":                  "false",
	"browser.startup.page":                              "0",
	"browser.startup.homepage":                          `"about:blank"`,
	"browser.startup.homepage_override.mstone":          `"ignore"`,
	"browser.aboutwelcome.enabled":                      "false",
	"browser.discovery.enabled":                         "false",
	"app.normandy.enabled":                              "false",
	"app.update.disabledForTesting":                     "true",
	"app.shield.optoutstudies.enabled":                  "false",
	"extensions.update.enabled":                         "false",
	"extensions.systemAddon.update.enabled":             "false",
	"extensions.getAddons.cache.enabled":                "false",
	"extensions.blocklist.enabled":                      "false",
	"services.settings.server":                          `"data:,#remote-settings-dummy/v1"`,
	"identity.fxaccounts.enabled":                       "false",
	"geo.provider.network.url":                          `""`,
	"dom.push.connection.enabled":                       "false",
	"datareporting.policy.dataSubmissionEnabled":        "false",
	"datareporting.healthreport.uploadEnabled":          "false",
	"toolkit.telemetry.enabled":                         "false",
	"toolkit.startup.max_resumed_crashes":               "-1",
}

// listening is what the browser writes when it takes commands.
var listening = regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)

// A Browser is a running Firefox.
type Browser struct {
	session *session
	version string
}

// Start starts a browser with a profile of its own, which ends with the test. The test is
// skipped when no Firefox is in PATH.
//
// Its camera and microphone are fakes of Firefox, and no name resolves.
//
// Firefox does not pair its ICE candidates with an address of the loopback interface: whoever
// exchanges media with it needs another address of the machine.
func Start(t testing.TB) *Browser {
	t.Helper()
	var path string
	for _, name := range commands {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skipf("no Firefox: none of %q is in PATH", commands)
	}
	home, err := os.MkdirTemp("", "firefox")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(home) }) // children that are still ending may write into it
	profile := filepath.Join(home, "profile")
	require.NoError(t, os.Mkdir(profile, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(profile, "user.js"), []byte(userJS()), 0o600))

	cmd := exec.CommandContext(context.Background(), path, "--headless", "--no-remote", "--new-instance",
		"--remote-debugging-port=0", "--profile", profile)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "MOZ_CRASHREPORTER_DISABLE=1",
		"MOZ_DATA_REPORTING=0")
	process := peer.Start(t, cmd)
	require.True(t, peer.Await(starting, func() bool {
		return process.Ended() || listening.MatchString(process.Output())
	}), "%s does not take commands", path)
	address := listening.FindStringSubmatch(process.Output())
	require.NotNil(t, address, "%s has ended", path)

	ctx, cancel := context.WithTimeout(context.Background(), starting)
	defer cancel()
	s, version, err := dial(ctx, address[1]+"/session")
	require.NoError(t, err, "starting a session of %s", path)
	t.Cleanup(func() {
		patient, stop := context.WithTimeout(context.Background(), closing)
		defer stop()
		_ = s.call(patient, "browser.close", struct{}{}, nil) // otherwise it is killed
		peer.Await(closing, process.Ended)
		s.close()
	})
	return &Browser{session: s, version: version}
}

// userJS returns the preferences as a profile has them.
func userJS() string {
	var text strings.Builder
	for name, value := range preferences {
		fmt.Fprintf(&text, "user_pref(%q, %s);\n", name, value)
	}
	return text.String()
}

// Version returns the product with its version, as in firefox/140.5.0.
func (b *Browser) Version() string { return b.version }
