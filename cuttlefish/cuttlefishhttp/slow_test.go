package cuttlefishhttp_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/internal/httpbody/trickle"
)

func TestABodyThatTricklesEndsWhateverTheServerOfTheApplicationSays(t *testing.T) {
	t.Parallel()
	for request, status := range map[string]int{
		"POST /polled_connections":            http.StatusRequestTimeout,
		"POST CONNECTION/:forward":            http.StatusRequestTimeout,
		"DELETE CONNECTION":                   http.StatusNoContent,
		"GET /devices":                        http.StatusOK,
		"GET /register_device":                http.StatusUpgradeRequired,
		"POST /polled_connections/x/:forward": http.StatusNotFound,
		"POST /nowhere":                       http.StatusNotFound,
	} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, nil, &cuttlefishhttp.Options{BodyTimeout: 5 * time.Second})
				f.device("cvd-1", nil)
				got, seconds, err := trickle.Send(f.handler, strings.Replace(request, "CONNECTION", f.open("cvd-1"), 1))
				require.NoError(t, err)
				require.Equal(t, status, got)
				if status == http.StatusUpgradeRequired { // which has its HandshakeTimeout
					seconds -= 10
				}
				require.InDelta(t, 5, seconds, 1)
			})
		})
	}
}

func TestABodyForFallbackHasAllTimeThatFallbackGivesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, &cuttlefishhttp.Options{
			BodyTimeout: 5 * time.Second,
			Fallback: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					w.WriteHeader(http.StatusTeapot)
				}
			}),
		})
		status, seconds, err := trickle.Send(f.handler, "POST /upload")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, trickle.Length, seconds)
	})
}
