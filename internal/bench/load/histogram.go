package main

import (
	"math/bits"
	"time"
)

// A histogram counts durations, in classes that are 1/16 of their value wide. The zero value is
// ready. It is for one goroutine.
type histogram struct {
	counts [64 * 16]int
	n      int
}

func (h *histogram) add(d time.Duration) {
	h.counts[class(d)]++
	h.n++
}

func class(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 16 {
		return int(v)
	}
	e := bits.Len64(v) - 5
	return (e+1)*16 + int(v>>e) - 16
}

// upper is the longest duration of a class.
func upper(class int) time.Duration {
	if class < 16 {
		return time.Duration(class)
	}
	e := class/16 - 1
	return time.Duration(uint64(class%16+17)<<e - 1)
}

func (h *histogram) merge(other *histogram) {
	if other == nil {
		return
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.n += other.n
}

// quantile returns a duration that a part of them is not longer than, 0 if there is none.
func (h *histogram) quantile(part float64) time.Duration {
	rank := int(part * float64(h.n))
	for i, n := range h.counts {
		if rank -= n; rank < 0 {
			return upper(i)
		}
	}
	return 0
}
