package link

import "sync"

// A Frame is a message as it was read, in a buffer that is used again. It has one
// owner at a time, who frees it or lets the garbage collector have it.
type Frame struct {
	Data []byte
}

var frames = sync.Pool{New: func() any { return new(Frame) }}

// Free gives the frame back; nothing may refer to its data any more. Under the race
// detector the data are overwritten, so that whoever still does is found out. A nil
// Frame is nothing to free.
func (f *Frame) Free() {
	if f == nil || cap(f.Data) > keepBuffer {
		return
	}
	if poison {
		data := f.Data[:cap(f.Data)]
		for i := range data {
			data[i] = 0xdb
		}
	}
	f.Data = f.Data[:0]
	frames.Put(f)
}
