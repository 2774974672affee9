package script

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/rtcsignal/rtcsignal/transport"
)

// BadFrames returns a function that makes messages as nobody sends them: noise, and what is
// made of good texts by damaging them. Of ten messages, so many are good ones; one of binary
// is a binary message.
func BadFrames(r *rand.Rand, good []string, whole, binary int) func() Message {
	return func() Message {
		var data []byte
		switch n := r.IntN(10); {
		case n == 0:
			data = make([]byte, r.IntN(200))
			for i := range data {
				data[i] = byte(r.Uint32())
			}
		case n <= whole:
			data = []byte(good[r.IntN(len(good))])
		default:
			data = damaged(r, []byte(good[r.IntN(len(good))]))
		}
		return Message{Data: data, Binary: r.IntN(binary) == 0}
	}
}

func damaged(r *rand.Rand, data []byte) []byte {
	for range 1 + r.IntN(3) {
		if len(data) == 0 {
			break
		}
		i := r.IntN(len(data))
		switch r.IntN(4) {
		case 0:
			data[i] ^= 1 << r.IntN(8)
		case 1:
			data = append(data[:i], data[i+1:]...)
		case 2:
			data = slices.Insert(data, i, `{}[]",:\0ne`[r.IntN(11)])
		case 3:
			data = append(data, data[i:min(len(data), i+20)]...)
		}
	}
	return data
}

// A Storm is several goroutines that send what comes to their minds to a server, over lines
// of [Serve].
type Storm struct {
	Frames int                      // of all of them
	Leave  int                      // one of so many messages is the last one on its line
	Open   func(r *rand.Rand) *Line // a new line, from which somebody reads
	Frame  func(r *rand.Rand) func() Message
}

// Rage returns when all is said and the server has done with every line.
func (s *Storm) Rage() {
	const workers = 4
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 1))
			frame := s.Frame(r)
			var line *Line
			leave := func() {
				_ = line.Close(transport.StatusNormal, "")
				<-line.Served
				line = nil
			}
			for range s.Frames / workers {
				if line == nil {
					line = s.Open(r)
				}
				m := frame()
				if line.Write(m.Type(), m.Data) != nil { // refused: the next one comes
					<-line.Served
					line = nil
				} else if r.IntN(s.Leave) == 0 {
					leave()
				}
			}
			if line != nil {
				leave()
			}
		})
	}
	group.Wait()
}
