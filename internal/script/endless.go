package script

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// An Endless is a server that does not stop: it says one message after the other, inside a
// bubble of synctest, until its client ends or it has said a thousand times 1 KiB.
type Endless struct {
	Say    func(i int) string // the i-th message
	Unread bool               // the application reads nothing
	Want   error              // what the client ends with; nil for one that bears it for ever
}

// RequireEndless lets the server at the end of the line talk to a client, which it has greeted.
func RequireEndless[M any](t *testing.T, e Endless, l *Line, c interface {
	Next(ctx context.Context) (M, error)
	Done() <-chan struct{}
	Err() error
	Close() error
}) {
	t.Helper()
	defer c.Close()
	const enough = 1000 << 10
	l.Drain()
	if !e.Unread {
		go func() {
			for {
				if _, err := c.Next(context.Background()); err != nil {
					return
				}
			}
		}()
	}
	said := 0
	for i := 0; said < enough; i++ {
		m := e.Say(i)
		if l.Write(transport.Text, []byte(m)) != nil {
			break
		}
		said += len(m)
		synctest.Wait()
	}
	if e.Want == nil {
		require.NoError(t, c.Err())
		require.GreaterOrEqual(t, said, enough)
		return
	}
	require.Less(t, said, enough, "the client bears all")
	<-c.Done()
	require.ErrorIs(t, c.Err(), e.Want)
}
