package script

import (
	"iter"
	"math/rand/v2"
)

// Choices are what a fuzzer wants, byte by byte.
type Choices []byte

// Next returns one of n choices, 0 after the end.
func (c *Choices) Next(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := int((*c)[0])
	*c = (*c)[1:]
	return b % n
}

// Seeds returns so many random sequences for a fuzz test, always the same of a stream: the
// first of size bytes, each by step longer than the one before, so that the peers in them
// come to meet each other.
func Seeds(count, size, step int, stream uint64) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for n := range count {
			seed := make([]byte, size+n*step)
			r := rand.New(rand.NewPCG(uint64(n), stream))
			for i := range seed {
				seed[i] = byte(r.Uint32())
			}
			if !yield(n, seed) {
				return
			}
		}
	}
}
