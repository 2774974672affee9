package mediasoupproto

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func mem() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}

func TestZZMeasure(t *testing.T) {
	if os.Getenv("ZZ") == "" {
		t.Skip()
	}
	m := NewServerMachine(ServerConfig{NewID: NewID})
	now := time.Now()
	var run func(fx ServerEffects) int
	run = func(fx ServerEffects) (n int) {
		n = 0
		for _, d := range fx.Send {
			if r, ok := d.Message.(*Response); ok {
				n += len(r.Result)
				if r.Error != nil {
					t.Log(r.Error)
				}
			}
		}
		for _, q := range fx.Ask {
			n += run(m.Decide(now, q.Ticket, Decision{}))
		}
		for _, op := range fx.Media {
			if op.Ticket != (Ticket{}) {
				n += run(m.MediaDone(now, op.Ticket, nullResult(op)))
			}
		}
		return n
	}
	say := func(id PeerID, text string) int {
		msg, err := Decode([]byte(benchSays(text)[0]))
		if err != nil {
			t.Fatal(err)
		}
		return run(m.Receive(now, id, msg))
	}
	const peers = 999
	t0 := time.Now()
	for i := range PeerID(peers) {
		run(m.Connect(now, i+1, Connection{}))
		say(i+1, fmt.Sprintf(`join#1 {"peerName":"p%d","rtpCapabilities":@caps,"appData":{"displayName":"x"}}`, i))
	}
	t.Log("joins", time.Since(t0), mem(), "MB")
	t0 = time.Now()
	for i := range PeerID(peers) {
		say(i+1, `createTransport#2 {"id":1,"dtlsParameters":@dtls}`)
		say(i+1, benchProduce)
	}
	t.Log("999 producers", time.Since(t0), mem(), "MB")
	for range 3 {
		run(m.Connect(now, 5000, Connection{}))
		t0 = time.Now()
		n := say(5000, `join#1 {"peerName":"visitor","rtpCapabilities":@caps}`)
		t.Log("join", time.Since(t0), n)
		t0 = time.Now()
		run(m.Disconnect(now, 5000))
		t.Log("leave", time.Since(t0))
	}
	run(m.Connect(now, 5000, Connection{}))
	before := mem()
	t0 = time.Now()
	_ = strings.Repeat
	caps := `{"codecs":[{"kind":"video","name":"VP8","clockRate":90000,"preferredPayloadType":101,"rtcpFeedback":[{"type":"` + strings.Repeat("x", 200_000) + `"}]}],"headerExtensions":[]}`
	n := say(5000, `join#1 {"peerName":"visitor","rtpCapabilities":`+caps+`}`)
	t.Log("join with feedback", time.Since(t0), n>>20, "MB answer", mem()-before, "MB kept")
	t0 = time.Now()
	for id := range PeerID(peers) {
		run(m.Disconnect(now, id+1))
	}
	t.Log("all gone", time.Since(t0))
}

func TestZZMeasureRTCP(t *testing.T) {
	if os.Getenv("ZZ") == "" {
		t.Skip()
	}
	m := NewServerMachine(ServerConfig{NewID: NewID})
	now := time.Now()
	var run func(fx ServerEffects) int
	run = func(fx ServerEffects) (n int) {
		for _, d := range fx.Send {
			if r, ok := d.Message.(*Response); ok {
				n += len(r.Result)
				if r.Error != nil {
					t.Log(r.Error)
				}
			}
		}
		for _, q := range fx.Ask {
			n += run(m.Decide(now, q.Ticket, Decision{}))
		}
		for _, op := range fx.Media {
			if op.Ticket != (Ticket{}) {
				n += run(m.MediaDone(now, op.Ticket, nullResult(op)))
			}
		}
		return n
	}
	say := func(id PeerID, text string) int {
		msg, err := Decode([]byte(benchSays(text)[0]))
		if err != nil {
			t.Fatal(err)
		}
		return run(m.Receive(now, id, msg))
	}
	for i := range PeerID(200) {
		run(m.Connect(now, i+1, Connection{}))
		say(i+1, fmt.Sprintf(`join#1 {"peerName":"p%d","rtpCapabilities":@caps}`, i))
	}
	before := mem()
	for i := range PeerID(4) {
		say(i+1, `createTransport#2 {"id":1,"dtlsParameters":@dtls}`)
		for k := range 4 {
			p := strings.Replace(vp8Parameters(1+10*k), `{`, `{"rtcp":{"x":"`+strings.Repeat("x", 60_000)+`"},`, 1)
			p = strings.Replace(p, `"rtcp":{"cname":"c"}`, `"zz":1`, 1)
			say(i+1, fmt.Sprintf(`createProducer#3 {"id":%d,"kind":"video","transportId":1,"rtpParameters":%s}`, k+1, p))
		}
	}
	t.Log("16 producers of 60 kB", mem()-before, "MB")
	runtime.KeepAlive(m)
}
