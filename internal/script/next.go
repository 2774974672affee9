package script

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Reader is what an application reads from: a client.
type Reader[M any] interface {
	Next(ctx context.Context) (M, error)
	Done() <-chan struct{}
	Err() error
}

// RequireNext demands what Next returns, in the texts that text makes of messages.
func RequireNext[M any](t *testing.T, r Reader[M], text func(M) string, want ...string) {
	t.Helper()
	for _, w := range want {
		m, err := r.Next(t.Context())
		require.NoError(t, err)
		require.JSONEq(t, w, text(m))
	}
}

// RequireEnd waits for the end and demands what Next and Err say of it; nil is an orderly one.
func RequireEnd[M any](t *testing.T, r Reader[M], want error) {
	t.Helper()
	<-r.Done()
	_, err := r.Next(t.Context())
	if want == nil {
		require.NoError(t, r.Err())
		require.Equal(t, io.EOF, err)
		return
	}
	require.ErrorIs(t, r.Err(), want)
	require.ErrorIs(t, err, want)
}
