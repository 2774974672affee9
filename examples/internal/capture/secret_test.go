package capture

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecretsAreKnownByTheirNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"password", "Password", "access_token", "X-Api-Key", "api_key", "Authorization", "Proxy-Authorization", "auth",
		"X-Auth", "authKeys", "Set-Cookie", "easyrtcsid", "sid", "pwd", "jwt", "credential", "client-secret",
	} {
		require.True(t, SecretName(name), name)
	}
	for _, name := range []string{"username", "author", "EIO", "sidebar", "type", "urls", "", "Sec-Websocket-Key"} {
		require.False(t, SecretName(name), name)
	}
}

func TestSecretsInAddressesAreFoundInAnyText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                      "",
		"/ws?token=abc":                         "/ws?token=-",
		"/ws?EIO=4&token=abc&x=y":               "/ws?EIO=4&token=-&x=y",
		"/ws?%74oken=abc":                       "/ws?%74oken=-",
		"/ws?%7=abc":                            "/ws?%7=-",
		"/ws?a=b&token=a;c#f":                   "/ws?a=b&token=-#f",
		`{"url":"wss://h/?a=b\u0026token=abc"}`: `{"url":"wss://h/?a=b\u0026token=-"}`,
		`Get "http://h/ws?token=abc": refused`:  `Get "http://h/ws?token=-": refused`,
		"/galene-api/v0/.groups/g/.tokens/abc":  "/galene-api/v0/.groups/g/.tokens/-",
		"/galene-api/v0/.groups/g/.tokens/":     "/galene-api/v0/.groups/g/.tokens/",
		"/ws?user=u":                            "/ws?user=u",
		"token=abc":                             "token=abc",
	} {
		require.Equal(t, want, HideInText(text, func(string) string { return "-" }))
	}
	require.True(t, SecretBody("/galene-api/v0/.groups/g/.users/u/.password"))
	require.True(t, SecretBody("/galene-api/v0/.groups/g/.%74okens/?x"))
	require.True(t, SecretBody("/galene-api/v0/.groups/g/.keys"))
	require.False(t, SecretBody("/group/.keysmith/.status.json"))
}

func TestALongTextIsLookedThroughOnce(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("?token=a", 1<<18)
	masked := HideInText(text, func(string) string { return "-" })
	require.NotContains(t, masked, "=a")
}
