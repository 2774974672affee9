package script

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChoicesAreTheBytesInTheirOrderThenZero(t *testing.T) {
	t.Parallel()
	c := Choices{7, 255, 3}
	require.Equal(t, 2, c.Next(5))
	require.Equal(t, 5, c.Next(10))
	require.Len(t, c, 1)
	require.Equal(t, 3, c.Next(4))
	require.Zero(t, c.Next(4))
	require.Zero(t, c.Next(1))
}

func TestSeedsGrowAndAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	collect := func(stream uint64) (all [][]byte) {
		for n, seed := range Seeds(3, 10, 4, stream) {
			require.Len(t, all, n)
			all = append(all, seed)
		}
		return all
	}
	first := collect(1)
	require.Equal(t, first, collect(1))
	require.NotEqual(t, first, collect(2))
	require.Equal(t, []int{10, 14, 18}, []int{len(first[0]), len(first[1]), len(first[2])})
	require.False(t, slices.Equal(first[0], first[1][:10]))
	for range Seeds(3, 10, 4, 1) {
		break
	}
}
