package explain

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

func TestOpeningsAndClosingsAreToldInEveryProtocol(t *testing.T) {
	t.Parallel()
	refused := opened("1", "/x")
	refused.Status, refused.Data = http.StatusForbidden, []byte("not from there")
	for _, p := range Protocols {
		for _, c := range []struct {
			entry             capture.Entry
			name, about, text string
		}{
			{opened("1", "/x?a=b"), "open", "/x?a=b", ""},
			{refused, "open refused", "/x", "HTTP 403 Forbidden"},
			{closed("1", capture.Client, 1000, "bye"), "closed 1000", "bye", ""},
			{closed("1", capture.Server, 1005, ""), "closed 1005", "", ""},
			{closed("1", capture.Server, 1006, ""), "closed 1006", "", ""},
			{closed("1", capture.Server, 1008, "no"), "closed 1008", "no", "closed with 1008, policy violation: no"},
			{closed("1", capture.Server, 4000, ""), "closed 4000", "", "closed with 4000"},
			{closed("1", capture.Server, 0, ""), "closed", "", ""},
			{capture.Entry{Conn: "1", Kind: capture.Note, Reason: "lost"}, "note", "lost", ""},
		} {
			arrows := NewRecording(p).Explain(c.entry)
			require.Len(t, arrows, 1, p.Name)
			require.Equal(t, []string{c.name, c.about}, []string{arrows[0].Name, arrows[0].About}, p.Name)
			require.Equal(t, Lifecycle, arrows[0].Kind)
			var want []Problem
			if c.text != "" {
				want = []Problem{{Refused, c.text}}
			}
			require.Equal(t, want, arrows[0].Problems, "%s: %s", p.Name, c.name)
		}
	}
}

func TestWhatGoesOverHTTPIsACarrier(t *testing.T) {
	t.Parallel()
	p, err := Find("galene")
	require.NoError(t, err)
	r := NewRecording(p)
	request := capture.Entry{Conn: "http", Kind: capture.Request, From: capture.Client, Method: "POST", URL: "/group/g/.whip",
		Header: map[string]string{"Content-Type": "application/sdp", "Authorization": "Bearer s3cr3t"},
		Data:   []byte("v=0\r\nm=video 9 x\r\n")}
	a := r.Explain(request)[0]
	require.Equal(t, []any{Carrier, "POST", "/group/g/.whip"}, []any{a.Kind, a.Name, a.About})
	require.Equal(t, []string{"SDP: video"}, titles(a.Detail.Folds))
	require.Contains(t, a.Detail.Raw, "Authorization: [hidden]\nContent-Type: application/sdp\n")

	answer := capture.Entry{Conn: "http", Kind: capture.Response, From: capture.Server, URL: "/group/g/.whip", Status: 401}
	a = r.Explain(answer)[0]
	require.Equal(t, []any{Carrier, "HTTP 401 Unauthorized"}, []any{a.Kind, a.Name})
	require.Equal(t, []Problem{{Refused, "HTTP 401 Unauthorized"}}, a.Problems)
	answer.URL, answer.Status = "/favicon.ico", 404
	require.Empty(t, r.Explain(answer)[0].Problems, "browsers ask for it whether it exists or not")
}

func TestSecretsInAddressesAreMasked(t *testing.T) {
	t.Parallel()
	masked, plain := new(Recording), &Recording{Secrets: true}
	for address, want := range map[string]string{
		"/ws":                     "/ws",
		"/ws?a=b&c":               "/ws?a=b&c",
		"/ws?a=b&token=x&d=e":     "/ws?a=b&token=[hidden]&d=e",
		"/ws?Access%54oken=x":     "/ws?Access%54oken=[hidden]",
		"/ws?password=x;y":        "/ws?password=[hidden]",
		"/ws?%zz=x":               "/ws?%zz=[hidden]",
		"/ws?authorization=a?b=c": "/ws?authorization=[hidden]",
	} {
		require.Equal(t, want, masked.address(address))
		require.Equal(t, address, plain.address(address))
	}
}

// Where the secrets are in what cannot be read nobody knows.
func TestWhatCannotBeReadIsShownIfThereIsNothingSecretInIt(t *testing.T) {
	t.Parallel()
	masked, plain := new(Recording), &Recording{Secrets: true}
	for data, want := range map[string]string{
		"":                      "",
		"hello":                 "hello",
		`{"a":`:                 `{"a":`,
		`{"Password":"x`:        hidden,
		`{"pass\u0077ord":"x`:   hidden,
		"p\x00a\x00s\x00s":      hidden,
		"\xff\xfe":              hidden,
		`["auth",{"tok":"abc"}`: hidden,
	} {
		require.Equal(t, want, masked.unreadable([]byte(data)), data)
	}
	require.Equal(t, `"\xff\xfe"`, plain.unreadable([]byte("\xff\xfe")))
	require.Equal(t, `{"Password":"x`, plain.unreadable([]byte(`{"Password":"x`)))
}
