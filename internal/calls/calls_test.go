package calls_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/calls"
	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

func TestCallGetsItsAnswer(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[int, string](0)
	one, err := table.Add(1)
	require.NoError(t, err)
	two, err := table.Add(2)
	require.NoError(t, err)
	require.Equal(t, 2, table.Len())
	require.True(t, table.Resolve(2, "b"))
	require.True(t, table.Resolve(1, "a"))
	require.Zero(t, table.Len())
	for range 2 { // an answer stays
		got, err := one.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "a", got)
	}
	got, err := two.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, "b", got)
}

func TestWaitBlocksUntilTheAnswer(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[string, int](0)
	call, err := table.Add("x")
	require.NoError(t, err)
	go table.Resolve("x", 7)
	got, err := call.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 7, got)
}

func TestAnswerThatNobodyWaitsForIsDropped(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[int, string](0)
	require.False(t, table.Resolve(1, "never asked"))
	call, err := table.Add(1)
	require.NoError(t, err)
	require.True(t, table.Resolve(1, "first"))
	require.False(t, table.Resolve(1, "second"))
	got, err := call.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, "first", got)
}

func TestAddRefusesAKeyThatIsPending(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[string, int](0)
	_, err := table.Add("x")
	require.NoError(t, err)
	_, err = table.Add("x")
	require.ErrorIs(t, err, calls.ErrDuplicate)
	require.ErrorContains(t, err, "x")
	table.Resolve("x", 1)
	_, err = table.Add("x")
	require.NoError(t, err, "after the answer the key is free")
}

func TestAddRefusesMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[int, int](2)
	_, err := table.Add(1)
	require.NoError(t, err)
	second, err := table.Add(2)
	require.NoError(t, err)
	_, err = table.Add(3)
	require.ErrorIs(t, err, calls.ErrTooMany)
	second.Cancel()
	_, err = table.Add(3)
	require.NoError(t, err)

	for limit, n := range map[int]int{0: calls.DefaultLimit, -1: calls.DefaultLimit + 1} {
		table := calls.NewTable[int, int](limit)
		for key := range n {
			_, err := table.Add(key)
			require.NoError(t, err)
		}
		_, err := table.Add(n)
		require.Equal(t, limit == 0, errors.Is(err, calls.ErrTooMany))
	}
}

func TestCallWhoseContextEndsIsForgotten(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[int, string](1)
	old, err := table.Add(1)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = old.Wait(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, table.Len())
	require.False(t, table.Resolve(1, "late"))

	again, err := table.Add(1)
	require.NoError(t, err)
	old.Cancel() // of the call that had the key before
	require.True(t, table.Resolve(1, "in time"))
	got, err := again.Wait(ctx)
	require.NoError(t, err, "an answer that is there counts")
	require.Equal(t, "in time", got)
}

func TestFailAllEndsEveryCallAndEveryLaterOne(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[int, string](0)
	call, err := table.Add(1)
	require.NoError(t, err)
	lost := errors.New("connection lost")
	table.FailAll(lost)
	table.FailAll(errors.New("again"))
	_, err = call.Wait(t.Context())
	require.Equal(t, lost, err)
	_, err = table.Add(2)
	require.Equal(t, lost, err)
	require.False(t, table.Resolve(1, "late"))
	require.Zero(t, table.Len())
}

func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	const callers, each = 8, 200
	table := calls.NewTable[int, int](0)
	asked := make(chan int, callers)
	var server, clients sync.WaitGroup
	for range 2 {
		server.Go(func() {
			for key := range asked {
				table.Resolve(key, -key)
			}
		})
	}
	var wrong atomic.Int32
	for c := range callers {
		clients.Go(func() {
			for n := range each {
				key := c*each + n + 1
				call, err := table.Add(key)
				if err != nil {
					wrong.Add(1)
					return
				}
				asked <- key
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 0 {
					cancel()
				}
				if got, err := call.Wait(ctx); err == nil && got != -key || err != nil && n%3 != 0 {
					wrong.Add(1)
				}
				cancel()
			}
		})
	}
	clients.Wait()
	close(asked)
	server.Wait()
	require.Zero(t, wrong.Load())
	require.Zero(t, table.Len())
}

func TestACallThatIsUsedAgainHasNothingOfTheOneBefore(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[int, string](0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for n, end := range []func(){
		func() { table.Resolve(1, "answer") },                          // and nobody waits
		func() { table.Resolve(1, "first"); table.Resolve(1, "more") }, // and there are two
		func() {},
	} {
		old, err := table.Add(1)
		require.NoError(t, err)
		end()
		old.Cancel()
		require.False(t, table.Resolve(1, "late"), n)
		call, err := table.Add(2)
		require.NoError(t, err)
		_, err = call.Wait(ended)
		require.ErrorIs(t, err, context.Canceled, "%d", n)
		call.Cancel()
	}
}

func TestACallThatWasGivenUpIsNotUsedUnnoticed(t *testing.T) {
	t.Parallel()
	table := calls.NewTable[int, string](0)
	call, err := table.Add(1)
	require.NoError(t, err)
	call.Cancel()
	require.Panics(t, call.Cancel)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Panics(t, func() { _, _ = call.Wait(ended) })
}

// Not parallel, because it counts allocations.
func TestCallsOneAfterTheOtherAllocateNothing(t *testing.T) {
	table := calls.NewTable[int, string](0)
	allocs := testing.AllocsPerRun(100, func() {
		call, err := table.Add(1)
		if err != nil || !table.Resolve(1, "answer") {
			panic("no call")
		}
		if got, err := call.Wait(context.Background()); err != nil || got != "answer" {
			panic("no answer")
		}
		call.Cancel()
	})
	require.Zero(t, allocs)
}
