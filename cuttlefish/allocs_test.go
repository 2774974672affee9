//go:build !race

package cuttlefish

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDecodeOfAnOfferAllocatesAtMostFourTimes keeps what the benchmark shows: the
// message, its client id, its payload, and one to spare. The race
// detector allocates as well.
func TestDecodeOfAnOfferAllocatesAtMostFourTimes(t *testing.T) {
	require.InDelta(t, 5500, len(benchOffer), 250)
	m, err := Decode(benchOffer)
	require.NoError(t, err)
	b, err := Encode(m)
	require.NoError(t, err)
	require.Equal(t, string(benchOffer), string(b))
	allocs := testing.AllocsPerRun(200, func() { _, _ = Decode(benchOffer) })
	require.LessOrEqual(t, allocs, 4.0)
}
