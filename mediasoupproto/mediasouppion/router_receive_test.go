package mediasouppion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSequenceNumbersAreExtended(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		seqs []uint16
		ext  []int64
		what []arrival
		lost int64
	}{
		"in order": {
			[]uint16{5, 6, 7}, []int64{5, 6, 7}, []arrival{arrivalRestart, arrivalNew, arrivalNew}, 0,
		},
		"over the end": {
			[]uint16{65534, 65535, 0, 1}, []int64{65534, 65535, 65536, 65537},
			[]arrival{arrivalRestart, arrivalNew, arrivalNew, arrivalNew}, 0,
		},
		"late and twice": {
			[]uint16{65535, 2, 0, 0, 2}, []int64{65535, 65538, 65536, 65536, 65538},
			[]arrival{arrivalRestart, arrivalNew, arrivalLate, arrivalDuplicate, arrivalDuplicate}, 1,
		},
		"before the first": {
			[]uint16{10, 9}, []int64{10, 9}, []arrival{arrivalRestart, arrivalDuplicate}, 0,
		},
		"one far away": {
			[]uint16{10, 20000, 11}, []int64{10, 0, 11}, []arrival{arrivalRestart, arrivalDuplicate, arrivalNew}, 0,
		},
		"two far away": {
			[]uint16{10, 20000, 20001, 20002}, []int64{10, 0, 65536 + 20001, 65536 + 20002},
			[]arrival{arrivalRestart, arrivalDuplicate, arrivalRestart, arrivalNew}, 0,
		},
		"two too old": {
			[]uint16{10000, 8000, 8001, 10001}, []int64{10000, 0, 0, 10001},
			[]arrival{arrivalRestart, arrivalDuplicate, arrivalDuplicate, arrivalNew}, 0,
		},
		"two far back": {
			[]uint16{30000, 10, 11}, []int64{30000, 0, 65536 + 11},
			[]arrival{arrivalRestart, arrivalDuplicate, arrivalRestart}, 0,
		},
	} {
		var r receiver
		for i, seq := range test.seqs {
			ext, what := r.add(seq, false)
			require.Equal(t, test.ext[i], ext, "%s: %d", name, i)
			require.Equal(t, test.what[i], what, "%s: %d", name, i)
			if what != arrivalDuplicate {
				r.packets++
			}
		}
		require.Equal(t, test.lost, r.lost(), name)
	}
}

func TestAWindowIsForgottenWhenItIsUsedAgain(t *testing.T) {
	t.Parallel()
	var r receiver
	for n := range uint16(5000) {
		if n%7 == 3 {
			continue
		}
		_, what := r.add(n, false)
		require.NotEqual(t, arrivalDuplicate, what)
	}
	for n := uint16(4999); n > 5000-windowSize; n-- {
		_, what := r.add(n, false)
		want := arrivalDuplicate
		if n%7 == 3 {
			want = arrivalLate
		}
		require.Equal(t, want, what, n)
	}
	_, what := r.add(5000-windowSize-2, false)
	require.Equal(t, arrivalDuplicate, what, "too old to tell")
}

func TestMissingPacketsAreAskedForWithinBounds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var r receiver
	r.add(1, true)
	r.add(2000, true)
	require.Len(t, r.missing, maxMissing)
	seqs, gaveUp := r.requests(nil, now)
	require.Len(t, seqs, maxMissing)
	require.EqualValues(t, 1999, seqs[maxMissing-1])
	require.False(t, gaveUp)
	seqs, _ = r.requests(nil, now.Add(retryAfter-1))
	require.Empty(t, seqs, "there has been no time for an answer")
	for i := 1; i < maxRetries; i++ {
		now = now.Add(retryAfter)
		seqs, gaveUp = r.requests(nil, now)
		require.Len(t, seqs, maxMissing)
		require.False(t, gaveUp)
	}
	seqs, gaveUp = r.requests(nil, now.Add(retryAfter))
	require.Empty(t, seqs)
	require.True(t, gaveUp)
	require.Empty(t, r.missing)
}

func TestJitterIsMeasuredInTheUnitsOfTheCodec(t *testing.T) {
	t.Parallel()
	var even, uneven receiver
	for i := range 200 {
		elapsed := time.Duration(i) * 20 * time.Millisecond
		even.packets++
		even.measure(4_294_900_000+uint32(960*i), elapsed, 48000)
		uneven.packets++
		uneven.measure(uint32(960*i), elapsed+time.Duration(i%2)*time.Millisecond, 48000)
	}
	require.Zero(t, even.jitter)
	require.InDelta(t, 48, uneven.jitter, 1)
}

func TestARebaseHasNoGaps(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var r rebase
	_, _, ok := r.next(1, 1, now)
	require.False(t, ok)
	_, ok = r.source(1)
	require.False(t, ok)

	r.begin(70000, 1000, 65535, now, 90000)
	seq, first, ok := r.next(70000, 1000, now)
	require.True(t, ok)
	require.EqualValues(t, 65535, seq)
	seq, stamp, _ := r.next(70002, 4000, now)
	require.EqualValues(t, 1, seq)
	require.Equal(t, first+3000, stamp)
	seq, stamp, _ = r.next(70001, 4000, now)
	require.EqualValues(t, 0, seq, "a late one has its place")
	require.Equal(t, first+3000, stamp)
	_, _, ok = r.next(69999, 900, now)
	require.False(t, ok, "what was before the piece")
	source, ok := r.source(65535)
	require.True(t, ok)
	require.EqualValues(t, 70000, source)
	_, ok = r.source(65534)
	require.False(t, ok)

	r.stop()
	_, _, ok = r.next(70003, 7000, now)
	require.False(t, ok)
	now = now.Add(2 * time.Second)
	r.begin(500, 77, 9, now, 90000)
	seq, stamp, _ = r.next(500, 77, now)
	require.EqualValues(t, 2, seq, "the next one")
	require.Equal(t, first+3000+180000, stamp, "two seconds later")
	r.begin(10, 0, 9, now, 90000)
	seq, stamp, _ = r.next(10, 0, now)
	require.EqualValues(t, 3, seq)
	require.Equal(t, first+3000+180001, stamp, "later in any case")
	_, ok = r.source(2)
	require.False(t, ok, "of the piece before")
}

func TestACacheKeepsTheLastPackets(t *testing.T) {
	t.Parallel()
	var c packetCache
	require.Nil(t, c.get(0))
	require.Nil(t, c.data, "nothing is taken before the first packet")
	packet := make([]byte, 1200)
	const n = 5000
	for i := range int64(n) {
		packet[0], packet[1] = byte(i), byte(i>>8)
		c.put(i, packet[:1000+i%200])
	}
	kept := 0
	for i := range int64(n) {
		b := c.get(i)
		if b == nil {
			require.Zero(t, kept, "%d: those that are kept are the last ones", i)
			continue
		}
		kept++
		require.Equal(t, []byte{byte(i), byte(i >> 8)}, b[:2])
		require.Len(t, b, int(1000+i%200))
	}
	require.Greater(t, kept, 400)
	require.LessOrEqual(t, kept, cachePackets)
	require.Len(t, c.data, cacheBytes)
	small := packetCache{size: cacheAudio}
	small.put(1, packet)
	require.Len(t, small.data, cacheBegins)
	require.NotNil(t, small.get(1))
	for i := range int64(100) {
		small.put(2+i, packet)
	}
	require.Len(t, small.data, cacheAudio)
	require.Nil(t, small.get(1))
	require.Nil(t, c.get(n))
	require.Nil(t, c.get(n-cachePackets))
	c.put(n, make([]byte, maxPacket+1))
	require.Nil(t, c.get(n))
	c.put(n+1, nil)
	require.Nil(t, c.get(n+1))
}

func TestACacheOfSmallPacketsIsBoundedByTheirNumber(t *testing.T) {
	t.Parallel()
	var c packetCache
	for i := range int64(3 * cachePackets) {
		c.put(i, []byte{byte(i), 1})
	}
	for i := range int64(3 * cachePackets) {
		if i < 2*cachePackets {
			require.Nil(t, c.get(i))
		} else {
			require.Equal(t, []byte{byte(i), 1}, c.get(i))
		}
	}
}
