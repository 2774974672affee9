// Package alarm keeps the deadlines of many things at once, for the machines of
// servers: setting one costs a few comparisons, and a deadline that was moved or is no
// longer wanted is not searched for but skipped when its time comes.
package alarm

import (
	"container/heap"
	"slices"
	"time"
)

// A Clock holds deadlines of things of type T. The zero value is ready. It is not safe
// for concurrent use. The same calls give the same order.
type Clock[T comparable] struct {
	heap alarms[T]
	set  map[T]deadline
	last uint64 // number of an entry
}

// A deadline is what a thing has. Its entry in the heap may be earlier, for one that was
// put off, never later.
type deadline struct {
	due, queued time.Time
	entry       uint64 // its own; others of the thing are left over, even at the same time
}

// Set gives a thing its deadline, in place of the one that it has.
func (c *Clock[T]) Set(thing T, at time.Time) {
	if c.set == nil {
		c.set = make(map[T]deadline)
	}
	d, ok := c.set[thing]
	d.due = at
	if !ok || at.Before(d.queued) {
		c.push(thing, &d)
	}
	c.set[thing] = d
}

func (c *Clock[T]) push(thing T, d *deadline) {
	if len(c.heap) > 2*len(c.set)+16 {
		c.sweep()
	}
	c.last++
	d.queued, d.entry = d.due, c.last
	heap.Push(&c.heap, entry[T]{d.due, c.last, thing})
}

// sweep takes out the entries that no thing has any more.
func (c *Clock[T]) sweep() {
	kept := slices.DeleteFunc(c.heap, func(e entry[T]) bool { return !c.current(e) })
	c.heap = kept
	heap.Init(&c.heap)
}

func (c *Clock[T]) current(e entry[T]) bool {
	d, ok := c.set[e.thing]
	return ok && d.entry == e.number
}

// Clear takes a thing's deadline away, if it has one.
func (c *Clock[T]) Clear(thing T) {
	if delete(c.set, thing); len(c.set) == 0 {
		c.heap = nil
	}
}

// Len returns how many things have a deadline.
func (c *Clock[T]) Len() int { return len(c.set) }

// Next returns the next deadline.
func (c *Clock[T]) Next() (at time.Time, ok bool) {
	for len(c.heap) > 0 {
		first := c.heap[0]
		d := c.set[first.thing]
		switch {
		case !c.current(first):
			heap.Pop(&c.heap)
		case d.due.After(first.at): // put off
			c.heap[0].at, d.queued = d.due, d.due
			heap.Fix(&c.heap, 0)
			c.set[first.thing] = d
		default:
			return first.at, true
		}
	}
	return time.Time{}, false
}

// Pop returns a thing whose deadline has come, the earliest first, and takes the
// deadline away.
func (c *Clock[T]) Pop(now time.Time) (thing T, ok bool) {
	at, ok := c.Next()
	if !ok || now.Before(at) {
		return thing, false
	}
	thing = c.heap[0].thing
	heap.Pop(&c.heap)
	c.Clear(thing)
	return thing, true
}

type entry[T comparable] struct {
	at     time.Time
	number uint64
	thing  T
}

type alarms[T comparable] []entry[T]

func (a alarms[T]) Len() int           { return len(a) }
func (a alarms[T]) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms[T]) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms[T]) Push(x any)        { *a = append(*a, x.(entry[T])) }
func (a *alarms[T]) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = entry[T]{}
	*a = (*a)[:last]
	return x
}
