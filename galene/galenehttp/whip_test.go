package galenehttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// sdp returns a description of two media with these credentials and further lines.
func sdp(ufrag string, more ...string) string {
	lines := []string{"v=0", "o=- 7 3 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1"}
	for i, kind := range []string{"audio", "video"} {
		lines = append(lines, "m="+kind+" 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0",
			"a=ice-ufrag:"+ufrag, "a=ice-pwd:pwd-"+ufrag, "a=mid:"+strconv.Itoa(i))
	}
	return strings.Join(append(lines, more...), "\r\n") + "\r\n"
}

const candidate = "candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host"

// A media router answers every offer as it is told.
type router struct {
	offer func(m *galene.MediaMember, o *galene.Offer)
	ice   *heard.Record[*galene.ICE]

	mu   sync.Mutex
	seen []galene.Message
}

func (r *router) Serve(ctx context.Context, m *galene.MediaMember) error {
	for msg, err := range m.Messages(ctx) {
		if err != nil {
			return nil
		}
		r.mu.Lock()
		r.seen = append(r.seen, msg)
		r.mu.Unlock()
		switch msg := msg.(type) {
		case *galene.Offer:
			r.offer(m, msg)
		case *galene.ICE:
			r.ice.Add(msg)
		}
	}
	return nil
}

// messages returns those of a type that have come.
func messages[M galene.Message](r *router) (all []M) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.seen {
		if m, ok := m.(M); ok {
			all = append(all, m)
		}
	}
	return all
}

// answering answers with all candidates at once.
func answering(m *galene.MediaMember, o *galene.Offer) {
	_ = m.Send(&galene.Answer{ID: o.ID, SDP: sdp("answer", "a="+candidate, "a=end-of-candidates")})
}

func whipFixture(t testing.TB, offer func(m *galene.MediaMember, o *galene.Offer)) (*fixture, *router) {
	t.Helper()
	r := &router{offer: offer, ice: heard.New[*galene.ICE]()}
	cfg := galene.ServerConfig{}
	var err error
	cfg.RTCConfiguration, err = (&galene.RTCConfiguration{ICEServers: []galene.ICEServer{
		{URLs: []string{"stun:stun.example.org"}},
		{URLs: []string{"turn:turn.example.org?transport=tcp"}, Username: `u"s\er`, Credential: "s;e,cret"},
	}}).JSON()
	require.NoError(t, err)
	return newFixture(t, &galene.ServerOptions{Router: r, ServerConfig: cfg}, &galenehttp.Options{WHIP: true}), r
}

func (f *fixture) post(group, token string) *httptest.ResponseRecorder {
	f.Helper()
	header := []string{"Content-Type", "application/sdp"}
	if token != "" {
		header = append(header, "Authorization", "Bearer "+token)
	}
	return f.do("POST", "http://h/group/"+group+"/.whip", sdp("offer"), header...)
}

// users returns the names of those who are connected.
func (f *fixture) users() (names []string) {
	for s := range f.srv.Sessions() {
		if m, ok := s.Member(); ok {
			names = append(names, m.Username)
		}
	}
	return names
}

func TestAnOfferOverHTTPIsAnswered(t *testing.T) {
	t.Parallel()
	f, r := whipFixture(t, answering)
	w := f.post("open", "")
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.Equal(t, "application/sdp", w.Header().Get("Content-Type"))
	require.Regexp(t, `^/group/open/\.whip/[A-Z2-7]{20,}$`, w.Header().Get("Location"))
	require.Regexp(t, `^"[A-Z2-7]+"$`, w.Header().Get("Etag"))
	require.Equal(t, []string{
		`<stun:stun.example.org>; rel="ice-server"`,
		`<turn:turn.example.org?transport=tcp>; rel="ice-server"; username="u\"s\\er"; credential="s;e,cret"; credential-type="password"`,
	}, w.Header().Values("Link"))
	require.Equal(t, sdp("answer", "a="+candidate, "a=end-of-candidates"), w.Body.String())
	require.Equal(t, []string{"whip"}, f.users())
	offers := messages[*galene.Offer](r)
	require.Len(t, offers, 1)
	require.Equal(t, sdp("offer"), offers[0].SDP)
	require.Empty(t, offers[0].Label)
}

func TestAnAnswerHasTheCandidatesThatComeUntilItIsQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mid, index, old := "0", uint16(1), "old"
		f, _ := whipFixture(t, func(m *galene.MediaMember, o *galene.Offer) {
			ice := func(c galene.ICECandidateInit, wait time.Duration) {
				time.Sleep(wait)
				_ = m.Send(galene.NewICE(o.ID, c))
			}
			ice(galene.ICECandidateInit{Candidate: candidate + " early", SDPMid: &mid}, 0)
			_ = m.Send(&galene.Answer{ID: o.ID, SDP: sdp("answer")})
			ice(galene.ICECandidateInit{Candidate: candidate + " first", SDPMid: &mid}, 400*time.Millisecond)
			ice(galene.ICECandidateInit{Candidate: candidate + " second", SDPMLineIndex: &index}, 400*time.Millisecond)
			ice(galene.ICECandidateInit{Candidate: candidate + " other", SDPMid: &mid, UsernameFragment: &old}, 0)
			ice(galene.ICECandidateInit{Candidate: "", SDPMid: &mid}, 0)
			ice(galene.ICECandidateInit{Candidate: candidate + " late", SDPMid: &mid}, 600*time.Millisecond)
		})
		w := f.post("open", "")
		require.Equal(t, http.StatusCreated, w.Code)
		audio, video, ok := strings.Cut(w.Body.String(), "m=video")
		require.True(t, ok)
		require.Contains(t, audio, "\r\na="+candidate+" early\r\na="+candidate+" first\r\n")
		require.Contains(t, video, "\r\na="+candidate+" second\r\n")
		for _, never := range []string{"late", "other"} {
			require.NotContains(t, w.Body.String(), never)
		}
		require.NoError(t, f.handler.Close())
		require.NoError(t, f.srv.Close())
	})
}

func TestWhoMayNotPresentCannotPublish(t *testing.T) {
	t.Parallel()
	f, r := whipFixture(t, answering)
	for group, status := range map[string]int{
		"test": 401, "listen": 403, "nosuch": 404, "redirect": 308, "a%5Cb": 404, "": 404,
	} {
		w := f.post(group, "")
		require.Equal(t, status, w.Code, group)
		if status == 308 {
			require.Equal(t, "https://example.invalid/group/elsewhere/.whip", w.Header().Get("Location"))
		}
	}
	require.Equal(t, http.StatusUnauthorized, f.post("test", "nonsense").Code)
	require.Equal(t, "Bearer", f.post("test", "").Header().Get("Www-Authenticate"))
	require.Empty(t, messages[*galene.Offer](r))
}

func TestAnAddressHasSoManySessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := &wsconn.Gate{PerAddress: 2}
		f := newFixture(t, &galene.ServerOptions{Router: &router{offer: answering}}, &galenehttp.Options{
			WHIP: true, WebSocket: &wsconn.Options{Gate: gate},
		})
		first := f.post("open", "")
		require.Equal(t, http.StatusCreated, first.Code)
		require.Equal(t, http.StatusCreated, f.post("open", "").Code)
		w := f.post("open", "")
		require.Equal(t, http.StatusTooManyRequests, w.Code)
		require.Equal(t, "10", w.Header().Get("Retry-After"))
		require.Len(t, f.users(), 2, "nobody else notices")

		require.Equal(t, http.StatusOK, f.do("DELETE", first.Header().Get("Location"), "").Code)
		synctest.Wait()
		require.Equal(t, http.StatusCreated, f.post("open", "").Code)
		require.Equal(t, http.StatusTooManyRequests, f.post("listen", "").Code)
		require.NoError(t, f.handler.Close())
		time.Sleep(time.Second) // what has been opened counts no more
		require.Equal(t, wsconn.GateStats{Refused: 2}, gate.Stats())
		require.Equal(t, http.StatusServiceUnavailable, f.post("open", "").Code)
		require.Zero(t, gate.Stats().Connections)
	})
}

func TestAFullServerPublishesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &galene.ServerOptions{Connections: 1, Router: &router{offer: answering}}, &galenehttp.Options{WHIP: true})
		require.Equal(t, http.StatusCreated, f.post("open", "").Code)
		w := f.post("open", "")
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "too many connections\n", w.Body.String())
	})
}

func TestATokenPublishes(t *testing.T) {
	t.Parallel()
	f, _ := whipFixture(t, answering)
	address := f.listen()
	client, _, err := galenehttp.Connect(t.Context(), address+"/group/test/", nil)
	require.NoError(t, err)
	defer client.Close()
	alice, studio := "alice", "studio"
	_, err = client.Join(t.Context(), &galene.Join{Group: "test", Username: &alice, Password: "apw"})
	require.NoError(t, err)
	for _, username := range []*string{nil, &studio} {
		token, err := client.MakeToken(t.Context(), &galene.TokenRequest{
			Username: username, Permissions: galene.Permissions{"present"}, Expires: galene.TokenTime{In: time.Hour},
		})
		require.NoError(t, err)
		link := (&galenehttp.GroupURL{Base: address, Name: "test", Token: token.Token}).Link()
		stream, err := galenehttp.Publish(t.Context(), link, sdp("offer"), nil)
		require.NoError(t, err)
		want := "whip"
		if username != nil {
			want = *username
		}
		require.Contains(t, f.users(), want)
		// The resource needs the same token.
		path := strings.TrimPrefix(stream.Location, address)
		require.Equal(t, http.StatusForbidden, f.do("DELETE", "http://h"+path, "").Code)
		require.Equal(t, http.StatusForbidden, f.do("DELETE", "http://h"+path, "", "Authorization", "Bearer x").Code)
		require.NoError(t, stream.Close(t.Context()))
		require.NotContains(t, f.users(), want)
		require.Error(t, stream.Close(t.Context()), "it is gone")
	}
}

func TestAStreamIsPublishedTrickledRestartedAndClosed(t *testing.T) {
	t.Parallel()
	f, r := whipFixture(t, answering)
	stream, err := galenehttp.Publish(t.Context(), f.listen()+"/group/open/", sdp("offer"), nil)
	require.NoError(t, err)
	require.Equal(t, sdp("answer", "a="+candidate, "a=end-of-candidates"), stream.Answer)
	require.Equal(t, []galene.ICEServer{
		{URLs: []string{"stun:stun.example.org"}},
		{URLs: []string{"turn:turn.example.org?transport=tcp"}, Username: `u"s\er`, Credential: "s;e,cret", CredentialType: "password"},
	}, stream.ICEServers)

	mid, index := "1", uint16(0)
	fragment, err := galenehttp.NewFragment(sdp("offer"), []galene.ICECandidateInit{
		{Candidate: candidate, SDPMid: &mid}, {Candidate: candidate, SDPMLineIndex: &index},
	})
	require.NoError(t, err)
	require.NoError(t, stream.Trickle(t.Context(), fragment))

	restart, err := galenehttp.NewFragment(sdp("again"), []galene.ICECandidateInit{{Candidate: candidate + " new", SDPMid: &mid}})
	require.NoError(t, err)
	answer, err := stream.Restart(t.Context(), restart)
	require.NoError(t, err)
	require.Equal(t, "a=ice-ufrag:answer\r\na=ice-pwd:pwd-answer\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"+
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na="+candidate+"\r\na=end-of-candidates\r\n", answer)
	require.NoError(t, stream.Trickle(t.Context(), restart), "of the new generation")
	trickled := make([]*galene.ICE, 3)
	for i := range trickled {
		trickled[i] = heard.Next(t, "candidate", r.ice)
	}
	require.NoError(t, stream.Close(t.Context()))
	require.Empty(t, f.users())

	offers := messages[*galene.Offer](r)
	require.Len(t, offers, 2)
	require.Equal(t, offers[0].ID, offers[1].ID)
	want := strings.Replace(sdp("again", "a="+candidate+" new"), "o=- 7 3", "o=- 7 4", 1)
	require.Equal(t, want, offers[1].SDP)
	require.Len(t, messages[*galene.ICE](r), 3)
	for i, mids := range []string{"0", "1", "1"} {
		c, err := trickled[i].Init()
		require.NoError(t, err)
		require.Equal(t, mids, *c.SDPMid)
		require.True(t, strings.HasPrefix(c.Candidate, candidate))
		require.Equal(t, []string{"offer", "offer", "again"}[i], *c.UsernameFragment)
	}
}

func TestARequestForASessionIsChecked(t *testing.T) {
	t.Parallel()
	f, _ := whipFixture(t, answering)
	w := f.post("open", "")
	require.Equal(t, http.StatusCreated, w.Code)
	resource, etag := "http://h"+w.Header().Get("Location"), w.Header().Get("Etag")
	const typ = "application/trickle-ice-sdpfrag"
	good := "a=ice-ufrag:offer\r\na=ice-pwd:pwd-offer\r\nm=audio 9 x 96\r\na=mid:0\r\na=" + candidate + "\r\n"
	tests := []struct {
		name, method, body string
		header             []string
		status             int
	}{
		{"good", "PATCH", good, []string{"Content-Type", typ}, 204},
		{"its tag", "PATCH", good, []string{"Content-Type", typ, "If-Match", etag}, 204},
		{"any tag", "PATCH", good, []string{"Content-Type", typ, "If-Match", "*"}, 204},
		{"one of the tags", "PATCH", good, []string{"Content-Type", typ, "If-Match", `"x", ` + etag}, 204},
		{"bare lines", "PATCH", strings.ReplaceAll(good, "\r", ""), []string{"Content-Type", typ}, 204},
		{"another tag", "PATCH", good, []string{"Content-Type", typ, "If-Match", `"x"`}, 412},
		{"not its tag", "PATCH", good, []string{"Content-Type", typ, "If-None-Match", etag}, 412},
		{"another tag", "DELETE", "", []string{"If-Match", `"x"`}, 412},
		{"another type", "PATCH", good, []string{"Content-Type", "application/sdp"}, 415},
		{"no credentials", "PATCH", "a=" + candidate, []string{"Content-Type", typ}, 400},
		{"no fragment", "PATCH", "nonsense", []string{"Content-Type", typ}, 400},
		{"too many sections", "PATCH", good + strings.Repeat("m=audio 9 x 96\r\n", 64), []string{"Content-Type", typ}, 400},
		{"too many candidates", "PATCH", good + strings.Repeat("a="+candidate+"\r\n", 256), []string{"Content-Type", typ}, 400},
		{"too large", "PATCH", good + strings.Repeat("a=x\r\n", 1<<18), []string{"Content-Type", typ}, 413},
		{"another method", "GET", "", nil, 405},
		{"a page's question", "OPTIONS", "", nil, 200},
	}
	for _, tt := range tests {
		w := f.do(tt.method, resource, tt.body, tt.header...)
		require.Equal(t, tt.status, w.Code, "%s: %s", tt.name, w.Body)
	}
	require.Equal(t, http.StatusNotFound, f.do("DELETE", resource+"x", "").Code)
	require.Equal(t, http.StatusNotFound, f.do("DELETE", strings.Replace(resource, "/open/", "/test/", 1), "").Code)
	require.Equal(t, http.StatusOK, f.do("DELETE", resource, "").Code)
	require.Equal(t, http.StatusNotFound, f.do("DELETE", resource, "").Code)
}

func TestAnOfferThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	f, r := whipFixture(t, answering)
	for body, status := range map[string]int{
		"": 400, "x": 400, "v=0\r\n": 400, "m=audio 9 x 96\r\n": 400, "v=0\r\nM=audio\r\n": 400,
		sdp("offer") + strings.Repeat("a=x\r\n", 1<<18): 413,
	} {
		w := f.do("POST", "http://h/group/open/.whip", body, "Content-Type", "application/sdp")
		require.Equal(t, status, w.Code, "%.20q", body)
	}
	require.Empty(t, messages[*galene.Offer](r))
	require.Empty(t, f.users())
}

func TestASessionThatIsNotAnsweredLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, offer := range map[string]func(m *galene.MediaMember, o *galene.Offer){
		"refused":   func(m *galene.MediaMember, o *galene.Offer) { _ = m.Fail(o.ID, "no") },
		"forgotten": func(*galene.MediaMember, *galene.Offer) {},
		"nonsense":  func(m *galene.MediaMember, o *galene.Offer) { _ = m.Send(&galene.Answer{ID: o.ID, SDP: "x"}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			f, _ := whipFixture(t, offer)
			w := f.post("open", "")
			require.Equal(t, http.StatusInternalServerError, w.Code, name)
			require.Equal(t, "Internal server error\n", w.Body.String())
			synctest.Wait()
			require.Empty(t, f.users(), name)
			require.NoError(t, f.handler.Close())
			require.NoError(t, f.srv.Close())
		})
	}
}

func TestASessionEndsWithItsStreamAndWithTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := whipFixture(t, func(m *galene.MediaMember, o *galene.Offer) {
			answering(m, o)
			time.Sleep(time.Minute)
			_ = m.Fail(o.ID, "no media")
		})
		w := f.post("open", "")
		require.Equal(t, http.StatusCreated, w.Code)
		require.Equal(t, []string{"whip"}, f.users())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, f.users())
		require.Equal(t, http.StatusNotFound, f.do("DELETE", "http://h"+w.Header().Get("Location"), "").Code)

		require.Equal(t, http.StatusCreated, f.post("open", "").Code)
		require.NoError(t, f.handler.Close())
		require.Empty(t, f.users())
		require.Equal(t, http.StatusServiceUnavailable, f.post("open", "").Code)
		require.NoError(t, f.srv.Close())
	})
}

func TestPagesOfThisServerMayPublish(t *testing.T) {
	t.Parallel()
	f, _ := whipFixture(t, answering)
	for origin, allowed := range map[string]string{"http://h": "http://h", "https://evil.example": "", "": ""} {
		w := f.do("OPTIONS", "http://h/group/open/.whip", "", "Origin", origin)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, allowed, w.Header().Get("Access-Control-Allow-Origin"))
		require.Equal(t, "Origin", w.Header().Get("Vary"))
	}
	for _, tt := range []struct {
		ws      wsconn.Options
		origin  string
		allowed bool
	}{
		{wsconn.Options{AllowAnyOrigin: true}, "https://any.example", true},
		{wsconn.Options{OriginPatterns: []string{"*.friend.example"}}, "https://a.Friend.example", true},
		{wsconn.Options{OriginPatterns: []string{"https://friend.example"}}, "https://friend.example", true},
		{wsconn.Options{OriginPatterns: []string{"https://friend.example"}}, "http://friend.example", false},
		{wsconn.Options{OriginPatterns: []string{"friend.example"}}, "https://evil.example", false},
		{wsconn.Options{OriginPatterns: []string{"friend.example"}}, "://", false},
	} {
		f := newFixture(t, nil, &galenehttp.Options{WHIP: true, WebSocket: &tt.ws})
		w := f.do("OPTIONS", "http://h/group/open/.whip", "", "Origin", tt.origin)
		require.Equal(t, tt.allowed, w.Header().Get("Access-Control-Allow-Origin") == tt.origin, "%+v", tt)
	}
}

func TestAnAnswerOverHTTPThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := ""
	other := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = r.Header.Get("Authorization")
	}))
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "application/sdp")
		header.Set("Location", "/x")
		group, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/group/"), "/")
		switch group {
		case "status":
			return
		case "type":
			header.Set("Content-Type", "text/html")
		case "nowhere":
			header.Del("Location")
		case "elsewhere":
			header.Set("Location", other)
		case "redirect":
			http.Redirect(w, r, other, http.StatusPermanentRedirect)
			return
		case "refused":
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(sdp("answer")))
	}))
	for _, group := range []string{"status", "type", "nowhere", "elsewhere", "redirect", "refused"} {
		stream, err := galenehttp.Publish(t.Context(), address+"/group/"+group+"/?token=s3cret", sdp("offer"), nil)
		require.Error(t, err, group)
		require.NotContains(t, err.Error(), "s3cret")
		require.Nil(t, stream)
		require.Equal(t, group == "refused", errors.Is(err, galene.ErrNotAuthorised))
	}
	mu.Lock()
	require.Empty(t, asked, "the token went to another server")
	mu.Unlock()
	_, err := galenehttp.Publish(t.Context(), "nonsense", sdp("offer"), nil)
	require.Error(t, err)

	stream, err := galenehttp.Publish(t.Context(), address+"/group/good/", sdp("offer"), nil)
	require.NoError(t, err)
	require.Error(t, stream.Trickle(t.Context(), ""))
	_, err = stream.Restart(t.Context(), "")
	require.Error(t, err)
	require.Error(t, stream.Close(t.Context()))
}
