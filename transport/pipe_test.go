package transport_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/conntest"
)

func TestPipeConforms(t *testing.T) {
	t.Parallel()
	conntest.Run(t, func(*testing.T) (a, b transport.Conn) { return transport.Pipe() }, &conntest.Options{NoUnreadMessages: true})
}

func TestPipeWriteBlocksUntilThePeerReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := transport.Pipe()
		var written error = errors.New("not yet")
		go func() { written = a.Write(transport.Text, []byte("hello")) }()
		synctest.Wait()
		require.Error(t, written)
		_, msg, err := b.Read(nil)
		require.NoError(t, err)
		require.Equal(t, "hello", string(msg))
		synctest.Wait()
		require.NoError(t, written)
	})
}

func TestPipeBreaksForBothWhenThePeerDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := transport.Pipe()
		for range 2 { // the second Write uses the timer again
			go func() { _, _, _ = b.Read(nil) }()
			require.NoError(t, a.Write(transport.Text, nil))
			start := time.Now()
			go func() {
				time.Sleep(transport.DefaultWriteTimeout - time.Nanosecond)
				_, _, _ = b.Read(nil)
			}()
			require.NoError(t, a.Write(transport.Text, nil))
			require.Equal(t, transport.DefaultWriteTimeout-time.Nanosecond, time.Since(start))
		}

		start := time.Now()
		require.ErrorIs(t, a.Write(transport.Text, []byte("hello")), transport.ErrWriteTimeout)
		require.Equal(t, transport.DefaultWriteTimeout, time.Since(start))
		for range 2 {
			_, _, err := b.Read(nil)
			require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
			_, _, err = a.Read(nil)
			require.ErrorIs(t, err, transport.ErrWriteTimeout)
		}
		require.NoError(t, a.Close(transport.StatusNormal, ""))
		require.NoError(t, b.Close(transport.StatusNormal, ""))
	})
}

func TestPipeCloseUnblocksTheWriteThatWaits(t *testing.T) {
	t.Parallel()
	for _, closer := range []string{"own", "peer"} {
		t.Run(closer, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := transport.Pipe()
				var err error
				go func() { err = a.Write(transport.Text, []byte("hello")) }()
				synctest.Wait()
				if closer == "own" {
					require.NoError(t, a.Close(4000, "bye"))
				} else {
					require.NoError(t, b.Close(4000, "bye"))
				}
				synctest.Wait()
				if closer == "own" {
					require.ErrorIs(t, err, transport.ErrClosed)
				} else {
					require.Equal(t, &transport.CloseError{Code: 4000, Reason: "bye"}, err)
				}
			})
		})
	}
}

func TestPipeFirstCloseCounts(t *testing.T) {
	t.Parallel()
	a, b := transport.Pipe()
	require.NoError(t, a.Close(4000, "first"))
	require.NoError(t, b.Close(4001, "second"))
	_, _, err := b.Read(nil)
	require.Equal(t, &transport.CloseError{Code: 4000, Reason: "first"}, err)
	_, _, err = a.Read(nil)
	require.ErrorIs(t, err, transport.ErrClosed)
}

func TestPipeDoesNotAllocateForAMessage(t *testing.T) {
	a, b := transport.Pipe()
	msg := []byte(strings.Repeat("m", 150))
	failed := make(chan error, 1)
	go func() {
		var buf []byte
		for {
			typ, m, err := b.Read(buf)
			if err == nil {
				err = b.Write(typ, m)
			}
			if err != nil {
				failed <- err
				return
			}
			buf = m
		}
	}()
	var buf []byte
	var err error
	require.Zero(t, testing.AllocsPerRun(100, func() {
		err = errors.Join(err, a.Write(transport.Text, msg))
		var readErr error
		_, buf, readErr = a.Read(buf)
		err = errors.Join(err, readErr)
	}))
	require.NoError(t, err)
	require.NoError(t, a.Close(transport.StatusNormal, ""))
	require.Error(t, <-failed)
}
