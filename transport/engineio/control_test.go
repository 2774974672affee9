package engineio_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

func TestServerTakesLittleThatIsNoMessage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		packet string
		times  int // in a second
		taken  bool
	}{
		"a few":        {"6", 1000, true},
		"too many":     {"6", 1001, false},
		"small ones":   {"6" + strings.Repeat("x", 128), 1, true},
		"a large one":  {"6" + strings.Repeat("x", 129), 1, false},
		"a large pong": {"3" + strings.Repeat("x", 129), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, peer, _ := rawServer(t, nil)
				go func() {
					for range 2 { // seconds
						for range test.times {
							_ = peer.Write(transport.Text, []byte(test.packet))
						}
						time.Sleep(time.Second)
					}
					_ = peer.Write(transport.Text, []byte("4message"))
				}()
				go func() {
					for {
						if _, _, err := peer.Read(nil); err != nil {
							return
						}
					}
				}()
				_, msg, err := c.Read(nil)
				if test.taken {
					require.NoError(t, err)
					require.Equal(t, "message", string(msg))
				} else {
					require.ErrorIs(t, err, engineio.ErrProtocol)
				}
				_ = c.Close(transport.StatusNormal, "")
				time.Sleep(3 * time.Second)
			})
		})
	}
}
