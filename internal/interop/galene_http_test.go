package interop

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenegroup"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenejwt"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// onGaleneFiles runs a test against the real server and against ours, which read the same
// files of groups.
func onGaleneFiles(t *testing.T, others map[string]object, test func(t *testing.T, s *galeneServer)) {
	t.Helper()
	t.Parallel()
	t.Run("galene", func(t *testing.T) {
		t.Parallel()
		test(t, startGaleneWith(t, others))
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		writeGroups(t, dir, others)
		groups, err := galenegroup.Open(dir, nil)
		require.NoError(t, err)
		router := galenepion.NewRouter(&galenepion.RouterOptions{Settings: loopback.Settings()})
		t.Cleanup(func() { require.NoError(t, router.Close()) })
		test(t, startOurGalene(t, galene.ServerOptions{Groups: groups, Router: router}))
	})
}

// group returns the address of a group.
func (s *galeneServer) group(name string) string { return "http://" + s.addr + "/group/" + name + "/" }

func TestGaleneGroupsAreFoundOverHTTP(t *testing.T) {
	onGaleneFiles(t, nil, func(t *testing.T, s *galeneServer) {
		ctx := bounded(t)
		status, err := galenehttp.Discover(ctx, s.group("test"), nil)
		require.NoError(t, err)
		require.Equal(t, "test", status.Name)
		require.Equal(t, "Test", status.DisplayName)
		require.Equal(t, "for tests", status.Description)
		require.Equal(t, s.group("test"), status.Location)
		require.Equal(t, s.ws(), status.Endpoint)
		require.Zero(t, *status.ClientCount)
		require.False(t, status.Locked)
		require.False(t, status.CanChangePassword)

		alice := s.join(t, "test", "alice")
		require.NoError(t, alice.Lock(""))
		expect[*galene.Joined](alice, "lock", nil)
		for _, name := range []string{"test", "test/room", "open"} {
			status, err = galenehttp.Discover(ctx, s.group(name), nil)
			require.NoError(t, err, name)
			require.Equal(t, name, status.Name)
			require.Equal(t, name == "test", status.Locked, name)
			require.Equal(t, name == "test", status.ClientCount != nil, "groups below a public one are not: %s", name)
		}
		for _, name := range []string{"nowhere", "open/room", "Test"} {
			_, err = galenehttp.Discover(ctx, s.group(name), nil)
			require.ErrorIs(t, err, galene.ErrNoGroup, name)
		}

		public, err := galenehttp.PublicGroups(ctx, "http://"+s.addr, nil)
		require.NoError(t, err)
		for _, g := range public {
			t.Logf("public: %s, %d clients, locked: %t", g.Name, *g.ClientCount, g.Locked)
		}
		require.NotEmpty(t, public)
		require.Equal(t, "test", public[0].Name)
		require.Equal(t, 1, *public[0].ClientCount)
		require.True(t, public[0].Locked)
	})
}

func TestGaleneServersAnswerOverHTTPAlike(t *testing.T) {
	onGaleneFiles(t, nil, func(t *testing.T, s *galeneServer) {
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		t.Cleanup(client.CloseIdleConnections)
		for _, tt := range []struct {
			method, path string
			status       int
			location     string
			contentType  string
		}{
			{"GET", "/public-groups.json", 200, "", "application/json"},
			{"HEAD", "/public-groups.json", 200, "", "application/json"},
			{"GET", "/group/test/.status", 200, "", "application/json"},
			{"HEAD", "/group/test/.status", 200, "", "application/json"},
			{"GET", "/group/test/.status.json", 308, "/group/test/.status", ""},
			{"GET", "/group/test/room/.status", 200, "", "application/json"},
			{"GET", "/group/test", 308, "/group/test/", ""},
			{"GET", "/group/nowhere/.status", 404, "", ""},
			{"GET", "/group/nowhere/", 404, "", ""},
			{"GET", "/group/.test/.status", 404, "", ""},
			{"GET", "/group/elsewhere/.status", 200, "", "application/json"},
			{"GET", "/group/elsewhere/", 308, "https://galene.example.org/group/there/", ""},
			{"GET", "/ws", 400, "", ""},
		} {
			r, err := http.NewRequestWithContext(bounded(t), tt.method, "http://"+s.addr+tt.path, nil)
			require.NoError(t, err)
			resp, err := client.Do(r)
			require.NoError(t, err)
			resp.Body.Close()
			name := tt.method + " " + tt.path
			want := tt.status
			if d, ok := deviations[name]; ok && !s.real {
				require.Contains(t, d.ours, resp.Status, name)
				continue
			}
			require.Equal(t, want, resp.StatusCode, name)
			require.Equal(t, tt.location, strings.TrimPrefix(resp.Header.Get("Location"), "http://"+s.addr), name)
			if tt.contentType != "" {
				require.Equal(t, tt.contentType, resp.Header.Get("Content-Type"), name)
				require.Equal(t, "no-cache", resp.Header.Get("Cache-Control"), name)
			}
		}
		for origin, status := range map[string]int{
			"": 101, "http://" + s.addr: 101, "http://evil.example.org": 403, "null": 403,
		} {
			r, err := http.NewRequestWithContext(bounded(t), "GET", "http://"+s.addr+"/ws", nil)
			require.NoError(t, err)
			for name, value := range map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": origin,
			} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			resp, err := client.Do(r)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, status, resp.StatusCode, "origin %q", origin)
		}
	})
}

func TestGaleneClientJoinsByTheAddressOfAGroup(t *testing.T) {
	onGaleneFiles(t, nil, func(t *testing.T, s *galeneServer) {
		ctx := bounded(t)
		bob, joined, err := galenehttp.Join(ctx, s.group("test"), "bob", "bpw", nil)
		require.NoError(t, err)
		defer bob.Close()
		require.Equal(t, []string{"message", "present"}, sorted(joined.Permissions))

		token := s.join(t, "test", "alice").invite(galene.TokenRequest{Username: new("guest")})
		guest, joined, err := galenehttp.Join(ctx, s.group("test")+"?token="+token.Token, "", "", nil)
		require.NoError(t, err)
		defer guest.Close()
		require.Equal(t, "guest", *joined.Username)

		_, _, err = galenehttp.Join(ctx, s.group("test"), "bob", "wrong", nil)
		require.ErrorIs(t, err, galene.ErrNotAuthorised)
	})
}

func TestGaleneServersReadTheSamePasswords(t *testing.T) {
	groups := map[string]object{} // one for each way to hash, because ours hashes in all ways of a group
	for _, typ := range []galenegroup.PasswordType{
		galenegroup.PasswordPlain, galenegroup.PasswordPBKDF2, galenegroup.PasswordBcrypt,
	} {
		password, err := galenegroup.NewPassword(typ, "secret of "+string(typ))
		require.NoError(t, err)
		groups[string(typ)] = object{"users": object{
			"bob": object{"password": password, "permissions": []string{"present", "caption"}},
		}}
	}
	onGaleneFiles(t, groups, func(t *testing.T, s *galeneServer) {
		join := func(group, password string) (*galene.Joined, error) {
			// Hashing takes its time, on a loaded machine under the race detector seconds.
			c := s.connect(t, &galene.ClientOptions{CallTimeout: -1, Silence: -1})
			return c.Join(t.Context(), &galene.Join{Group: group, Username: new("bob"), Password: password})
		}
		for group := range groups {
			joined, err := join(group, "secret of "+group)
			require.NoError(t, err, group)
			require.Equal(t, []string{"caption", "present"}, sorted(joined.Permissions))
		}
		_, err := join("bcrypt", "secret")
		require.ErrorIs(t, err, galene.ErrNotAuthorised)
	})
}

func TestGaleneServersTakeTheSameJSONWebTokens(t *testing.T) {
	var keys []galenejwt.Key
	var jwks []any
	for _, algorithm := range []galenejwt.Algorithm{
		galenejwt.HS256, galenejwt.HS384, galenejwt.HS512, galenejwt.ES256, galenejwt.RS256,
	} {
		key, err := galenejwt.NewKey(algorithm, string(algorithm))
		require.NoError(t, err)
		jwk, err := key.Public().JWK()
		require.NoError(t, err)
		keys, jwks = append(keys, key), append(jwks, jwk)
	}
	stranger, err := galenejwt.NewKey(galenejwt.HS256, "HS256")
	require.NoError(t, err)
	onGaleneFiles(t, map[string]object{"signed": {
		"authKeys": jwks, "auto-subgroups": true, "users": object{"bob": object{"password": "bpw", "permissions": "present"}},
	}}, func(t *testing.T, s *galeneServer) {
		type claims = galenejwt.Claims
		join := func(key galenejwt.Key, group string, username *string, change func(c *claims)) (*galene.Joined, error) {
			now := time.Now()
			c := &claims{
				Subject: "signed for", Audience: []string{s.group("signed")}, Permissions: galene.Permissions{"present", "message"},
				Issuer: "http://127.0.0.1/", IssuedAt: now, ExpiresAt: now.Add(time.Minute),
			}
			if change != nil {
				change(c)
			}
			token, err := key.Sign(c)
			require.NoError(t, err)
			return s.connect(t, nil).Join(bounded(t), &galene.Join{Group: group, Username: username, Token: token})
		}
		for _, key := range keys {
			joined, err := join(key, "signed", nil, nil)
			require.NoError(t, err, key)
			require.Equal(t, "signed for", *joined.Username)
			require.Equal(t, []string{"message", "present"}, sorted(joined.Permissions))
		}
		for _, tt := range []struct {
			name     string
			key      galenejwt.Key
			group    string
			username *string
			change   func(c *claims)
			want     error // nil: none
		}{
			{name: "subject beats name", username: new("other")},
			{name: "name of one's own", username: new("other"), change: func(c *claims) { c.Subject = "" }},
			{name: "no name at all", change: func(c *claims) { c.Subject = "" }},
			{name: "listed user", username: new("bob"), change: func(c *claims) { c.Subject = "" }, want: galene.ErrDuplicateUsername},
			{name: "no permissions", change: func(c *claims) { c.Permissions = nil }},
			{name: "several groups", change: func(c *claims) { c.Audience = []string{s.group("test"), s.group("signed")} }},
			{name: "subgroup", group: "signed/room", change: func(c *claims) { c.IncludeSubgroups = true }},
			{name: "subgroup that is not meant", group: "signed/room", want: galene.ErrNotAuthorised},
			{name: "another group", change: func(c *claims) { c.Audience = []string{s.group("test")} }, want: galene.ErrNotAuthorised},
			{name: "no slash", change: func(c *claims) { c.Audience = []string{strings.TrimSuffix(s.group("signed"), "/")} }, want: galene.ErrNotAuthorised},
			{name: "no group", change: func(c *claims) { c.Audience = nil }, want: galene.ErrNotAuthorised},
			{name: "expired", change: func(c *claims) { c.ExpiresAt = time.Now().Add(-time.Minute) }, want: galene.ErrNotAuthorised},
			{name: "just expired", change: func(c *claims) { c.ExpiresAt = time.Now().Add(-time.Second) }},
			{name: "of tomorrow", change: func(c *claims) { c.IssuedAt = time.Now().Add(time.Hour) }, want: galene.ErrNotAuthorised},
			{name: "not yet", change: func(c *claims) { c.NotBefore = time.Now().Add(30 * time.Second) }, want: galene.ErrNotAuthorised},
			{name: "stranger", key: stranger, want: galene.ErrNotAuthorised},
			{name: "bad name", change: func(c *claims) { c.Subject = "/x" }, want: galene.ErrNotAuthorised},
		} {
			key, group := tt.key, tt.group
			if key.Key == nil {
				key = keys[0]
			}
			if group == "" {
				group = "signed"
			}
			joined, err := join(key, group, tt.username, tt.change)
			if tt.want == nil {
				require.NoError(t, err, tt.name)
				require.Equal(t, group, joined.Group, tt.name)
				want := "signed for"
				if tt.name == "name of one's own" || tt.name == "no name at all" {
					want = *cmp.Or(tt.username, new(""))
				}
				require.Equal(t, want, *joined.Username, tt.name)
				continue
			}
			require.ErrorIs(t, err, tt.want, tt.name)
		}
	})
}

func TestGaleneStreamPublishedOverWHIPIsReceived(t *testing.T) {
	onGaleneFiles(t, nil, func(t *testing.T, s *galeneServer) {
		bob := s.bot(t, "open", "bob", nil)
		require.NoError(t, bob.Request(everything))
		pc, whip := s.publishWHIP(t, "open")
		ctx := bounded(t)
		u := expect(bob.galeneClient, "publisher", func(u *galene.User) bool { return u.Kind == galene.UserAdd && *u.Username == "whip" })
		for _, f := range bob.from(u.ID) {
			require.Empty(t, f.stream.Label)
			f.runs(t)
		}
		require.NoError(t, whip.Close(ctx))
		expect(bob.galeneClient, "leaving", func(gone *galene.User) bool { return gone.Kind == galene.UserDelete && gone.ID == u.ID })

		_, err := galenehttp.Publish(ctx, s.group("test"), pc.LocalDescription().SDP, nil)
		require.ErrorIs(t, err, galene.ErrNotAuthorised)
	})
}

// publishWHIP publishes the clip over HTTP to a group that admits everybody.
func (s *galeneServer) publishWHIP(t *testing.T, group string) (*webrtc.PeerConnection, *galenehttp.WHIP) {
	t.Helper()
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s.settings())).NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pc.GracefulClose()) })
	for _, track := range clipTracks(t) {
		_, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(t, err)
	}
	offer, err := pc.CreateOffer(nil)
	require.NoError(t, err)
	gathered := webrtc.GatheringCompletePromise(pc)
	require.NoError(t, pc.SetLocalDescription(offer))
	<-gathered
	whip, err := galenehttp.Publish(bounded(t), s.group(group), pc.LocalDescription().SDP, nil)
	require.NoError(t, err)
	require.NoError(t, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: whip.Answer}))
	return pc, whip
}

func TestGaleneWHIPPublisherIsNobodyToTalkTo(t *testing.T) {
	onGaleneFiles(t, nil, func(t *testing.T, s *galeneServer) {
		alice := s.join(t, "open", "alice")
		_, whip := s.publishWHIP(t, "open")
		u := expect(alice, "publisher", func(u *galene.User) bool { return u.Kind == galene.UserAdd && *u.Username == "whip" })
		require.NoError(t, alice.ChatTo(u.ID, "hello"))
		require.Equal(t, "this user doesn't chat", alice.refusal())
		require.NoError(t, alice.UserAction(galene.UserUnpresent, u.ID))
		require.Equal(t, "this is not a real user", alice.refusal())
		require.NoError(t, alice.Kick(u.ID, ""))
		expect(alice, "leaving", func(gone *galene.User) bool { return gone.Kind == galene.UserDelete && gone.ID == u.ID })
		_ = whip.Close(bounded(t)) // it is gone
	})
}
