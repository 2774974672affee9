package galene

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// benchSizes are the sizes of a chat message: a line, and a page.
var benchSizes = []struct {
	name string
	text string
}{{"0.3kB", strings.Repeat("x", 200)}, {"6kB", strings.Repeat("x", 5900)}}

// benchOptions are those of a server with one group, without limits.
func benchOptions() *ServerOptions {
	return &ServerOptions{
		Groups:        Groups{"test": {Wildcard: &MemoryUser{AnyPassword: true, Set: "present"}}},
		QueueMessages: -1, QueueBytes: -1, Limits: Limits{Messages: -1, Bytes: -1},
	}
}

// newCrowd returns a server and n members of one group, whose joining is over.
func newCrowd(tb testing.TB, n int) (*script.Crowd, *Server) {
	srv := NewServer(benchOptions())
	return script.NewCrowd(tb, n, srv.Serve, srv.Close, func(i int) ([]string, int) {
		return []string{
			fmt.Sprintf(`{"type":"handshake","version":["2"],"id":"id-%d"}`, i),
			fmt.Sprintf(`{"type":"join","kind":"join","group":"test","username":"user-%d","password":""}`, i),
		}, 2 + i + 1 + i // a handshake, joined, the users, and those who are told of this one
	}), srv
}

// benchSays has a member say a text over and over.
func benchSays(b *testing.B, members int, text string, receivers int) {
	c, _ := newCrowd(b, members)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.Pump(b, text, receivers)
	runtime.ReadMemStats(&after)
	deliveries := float64(b.N * receivers)
	b.ReportMetric(deliveries/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/deliveries, "allocs/delivery")
}

// BenchmarkBroadcast is a chat message to everybody in a group, its sender included, from
// the bytes that arrive to those that leave.
func BenchmarkBroadcast(b *testing.B) {
	for _, members := range []int{10, 100, 1000} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("members=%d/size=%s", members, size.name), func(b *testing.B) {
				benchSays(b, members, `{"type":"chat","value":"`+size.text+`"}`, members)
			})
		}
	}
}

// BenchmarkDirectedChat is a chat message to one of two members.
func BenchmarkDirectedChat(b *testing.B) {
	for _, size := range benchSizes {
		b.Run("size="+size.name, func(b *testing.B) {
			benchSays(b, 2, `{"type":"chat","dest":"id-1","value":"`+size.text+`"}`, 1)
		})
	}
}

// BenchmarkJoin is a client that comes, joins a group in which others are, and goes.
func BenchmarkJoin(b *testing.B) {
	for _, others := range []int{2, 50} {
		b.Run(fmt.Sprintf("members=%d", others), func(b *testing.B) {
			c, _ := newCrowd(b, others)
			c.Await(others) // who are told of the coming and of the going
			b.ReportAllocs()
			for b.Loop() {
				benchVisit(c, others)
			}
		})
	}
}

// benchVisit is one client's stay.
func benchVisit(c *script.Crowd, others int) {
	c.Visit([]string{
		`{"type":"handshake","version":["2"],"id":"id-visitor"}`,
		`{"type":"join","kind":"join","group":"test","username":"visitor","password":""}`,
	}, others+3, c.Heard) // a handshake, joined, itself and the others
	c.Heard()
}

// A machineCrowd is the members of a group on a machine alone.
type machineCrowd struct {
	*ServerMachine
	now  time.Time
	desc *Group
}

func newMachineCrowd(n int) *machineCrowd {
	c := &machineCrowd{
		ServerMachine: NewServerMachine(ServerConfig{}), desc: &Group{Name: "test"},
		now: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
	}
	for i := range n {
		c.enter(PeerID(i+1), fmt.Sprintf("id-%d", i))
	}
	return c
}

// enter makes a connection a member and returns how many messages that causes.
func (c *machineCrowd) enter(peer PeerID, id string) int {
	username := id
	c.Connect(c.now, peer, Connection{})
	n := len(c.Receive(c.now, peer, &Handshake{Version: []string{Version}, ID: id}).Send)
	fx := c.Receive(c.now, peer, &Join{Kind: JoinJoin, Group: "test", Username: &username})
	fx = c.Decide(c.now, fx.Ask[0].Ticket, Decision{Group: c.desc, Grant: Grant{
		Username: username, Permissions: Permissions{PermissionPresent, PermissionMessage},
	}})
	return n + len(fx.Send)
}

// BenchmarkServerMachine is what the benchmarks above cost without codec, queues and
// goroutines.
func BenchmarkServerMachine(b *testing.B) {
	run := func(name string, members int, step func(c *machineCrowd) int, want int) {
		b.Run(fmt.Sprintf("%s/members=%d", name, members), func(b *testing.B) {
			c := newMachineCrowd(members)
			b.ReportAllocs()
			for b.Loop() {
				if n := step(c); n != want {
					b.Fatal("messages sent: ", n)
				}
			}
		})
	}
	chat := &Chat{Value: NewText(benchSizes[0].text)}
	broadcast := func(c *machineCrowd) int { return len(c.Receive(c.now, 1, chat).Send) }
	for _, members := range []int{10, 100, 1000} {
		run("broadcast", members, broadcast, members)
	}
	directed := &Chat{Dest: "id-1", Value: NewText(benchSizes[0].text)}
	run("directed", 2, func(c *machineCrowd) int { return len(c.Receive(c.now, 1, directed).Send) }, 1)
	visit := func(c *machineCrowd) int {
		const visitor = 1 << 20
		n := c.enter(visitor, "id-visitor")
		return n + len(c.Disconnect(c.now, visitor).Send)
	}
	for _, members := range []int{2, 50} {
		run("join", members, visit, 3+3*members)
	}
}

func TestBenchmarksOfTheServerCountEveryDelivery(t *testing.T) {
	t.Parallel()
	for _, members := range []int{2, 10} {
		c, srv := newCrowd(t, members)
		c.Await(members)
		for range 3 {
			c.Say(`{"type":"chat","value":"hello"}`)
			c.Heard()
		}
		require.EqualValues(t, 3*members, c.Count())
		benchVisit(c, members) // of whose coming and going each is told
		require.EqualValues(t, 5*members, c.Count())
		stats := srv.Stats()
		require.EqualValues(t, 2*members+3+2, stats.MessagesRead)
	}
}
