package galenehttp_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
)

// authorize knows three users.
func authorize(_ context.Context, location, username, password string) (string, bool, error) {
	switch {
	case location != "https://galene.example.org/group/lab/":
		return "", false, nil
	case username == "broken":
		return "", false, errors.New("s3cret of the directory")
	case username == "local":
		return "", true, nil
	}
	return "token.of." + username, password == "right", nil
}

func TestAnAuthorisationServerAnswersWithAToken(t *testing.T) {
	t.Parallel()
	h := galenehttp.AuthHandler(authorize, nil)
	ask := func(body string, header ...string) (int, string, string) {
		w := do(t, h, "POST", "/", body, append([]string{"Content-Type", "application/json"}, header...)...)
		require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.NotContains(t, w.Body.String(), "s3cret")
		return w.Code, w.Header().Get("Content-Type"), w.Body.String()
	}
	const lab = `{"location":"https://galene.example.org/group/lab/","username":`
	for _, tt := range []struct {
		body   string
		status int
	}{
		{lab + `"ada","password":"right"}`, 200},
		{lab + `"ada","password":"right","later":1}`, 200},
		{lab + `"local","password":""}`, 204},
		{lab + `"ada","password":"wrong"}`, 401},
		{lab + `"ada"}`, 401},
		{lab + `"broken"}`, 500},
		{`{"location":"https://evil.example/","username":"ada","password":"right"}`, 401},
		{`{"username":"ada","password":"right"}`, 400},
		{lab + `"ada","username":"bob","password":"right"}`, 400},
		{lab + `1,"password":"right"}`, 400},
		{`null`, 400},
		{``, 400},
		{lab + `"` + strings.Repeat("x", 64<<10) + `"}`, 413},
	} {
		status, mediaType, body := ask(tt.body)
		require.Equal(t, tt.status, status, "%.100s", tt.body)
		if status == 200 {
			require.Equal(t, "application/jwt", mediaType)
			require.Equal(t, "token.of.ada", body)
		}
	}
	status, _, _ := ask(lab+`"ada","password":"right"}`, "Content-Type", "text/plain")
	require.Equal(t, http.StatusUnsupportedMediaType, status)
	status, _, _ = ask(lab+`"ada","password":"right"}`, "Content-Type", "application/json; charset=utf-8")
	require.Equal(t, http.StatusOK, status)
}

func TestPagesMayAskAnAuthorisationServer(t *testing.T) {
	t.Parallel()
	h := galenehttp.AuthHandler(authorize, nil)
	w := do(t, h, "OPTIONS", "/", "", "Origin", "https://galene.example.org", "Access-Control-Request-Method", "POST")
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "Content-Type", w.Header().Get("Access-Control-Allow-Headers"))
	require.Contains(t, w.Header().Get("Access-Control-Allow-Methods"), "POST")
	w = do(t, h, "GET", "/", "")
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "POST, OPTIONS", w.Header().Get("Allow"))
}

func TestAClientAsksAnAuthorisationServer(t *testing.T) {
	t.Parallel()
	const lab = "https://galene.example.org/group/lab/"
	address := serve(t, galenehttp.AuthHandler(authorize, nil))
	token, err := galenehttp.AuthServer(t.Context(), address, lab, "ada", "right", nil)
	require.NoError(t, err)
	require.Equal(t, "token.of.ada", token)
	token, err = galenehttp.AuthServer(t.Context(), address, lab, "local", "any", nil)
	require.NoError(t, err)
	require.Empty(t, token, "the group decides")
	_, err = galenehttp.AuthServer(t.Context(), address, lab, "ada", "wr0ng", nil)
	require.ErrorIs(t, err, galene.ErrNotAuthorised)
	require.NotContains(t, err.Error(), "wr0ng")
	_, err = galenehttp.AuthServer(t.Context(), address, lab, "broken", "right", nil)
	status, ok := errors.AsType[*galenehttp.StatusError](err)
	require.True(t, ok)
	require.Equal(t, http.StatusInternalServerError, status.StatusCode)
	require.NotErrorIs(t, err, galene.ErrNotAuthorised)
}

func TestWhatIsNoAnswerOfAnAuthorisationServerIsRefused(t *testing.T) {
	t.Parallel()
	var asked bool
	other := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwt")
		switch r.URL.Path {
		case "/type":
			w.Header().Set("Content-Type", "text/plain")
			_, _ = w.Write([]byte("a.b.c"))
		case "/lines":
			_, _ = w.Write([]byte("a\r\nb"))
		case "/trimmed":
			_, _ = w.Write([]byte(" a.b.c\n"))
		case "/long":
			_, _ = w.Write([]byte(strings.Repeat("x", 64<<10+1)))
		case "/redirect":
			http.Redirect(w, r, other, http.StatusTemporaryRedirect)
		}
	}))
	for _, path := range []string{"/type", "/empty", "/lines", "/long", "/redirect"} {
		token, err := galenehttp.AuthServer(t.Context(), address+path, "x", "ada", "s3cret", nil)
		require.Error(t, err, path)
		require.NotContains(t, err.Error(), "s3cret")
		require.Empty(t, token)
	}
	require.False(t, asked, "the password went to another server")
	token, err := galenehttp.AuthServer(t.Context(), address+"/trimmed", "x", "ada", "", nil)
	require.NoError(t, err)
	require.Equal(t, "a.b.c", token)
	for _, bad := range []string{"", "ftp://h/", "://", "relative", "http://user:pw@h/"} {
		_, err := galenehttp.AuthServer(t.Context(), bad, "x", "ada", "", nil)
		require.Error(t, err, bad)
	}
	_, err = galenehttp.AuthServer(t.Context(), address, "x", "\xff", "", nil)
	require.Error(t, err)
}
