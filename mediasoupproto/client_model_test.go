package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// peersText is all that a client knows of the others.
func peersText(t testing.TB, peers []*PeerInfo) string {
	t.Helper()
	b, err := jsonx.Append(nil, "", "", &JoinResult{Peers: peers})
	require.NoError(t, err)
	return string(b)
}

// clientNews change what a client knows, after bob and his consumer 7.
var clientNews = []struct{ wire, want string }{
	{ofPeer("newPeer", `,"name":"carol","consumers":[{"id":9,`+clientConsumer+`,"peerName":"carol"}],"appData":{"n":1}`),
		`bob[7] carol[9]`},
	{ofPeer("newConsumer", `,"id":8,`+clientConsumer+`,"peerName":"bob"`), `bob[7 8] carol[9]`},
	{ofPeer("consumerPaused", `,"id":8,"peerName":"bob"`), `bob[7 8p] carol[9]`},
	{ofPeer("consumerPaused", `,"id":7,"peerName":"bob"`), `bob[7p 8p] carol[9]`},
	{ofPeer("consumerResumed", `,"id":8,"peerName":"bob"`), `bob[7p 8] carol[9]`},
	{ofPeer("consumerPreferredProfileSet", `,"id":8,"peerName":"bob","profile":"low"`), `bob[7p 8<low] carol[9]`},
	{ofPeer("consumerEffectiveProfileChanged", `,"id":8,"peerName":"bob","profile":"high"`),
		`bob[7p 8<low=high] carol[9]`},
	{ofPeer("consumerStats", `,"id":8,"peerName":"bob","stats":[]`), `bob[7p 8<low=high] carol[9]`},
	{ofPeer("newPeer", `,"name":"dave","consumers":[]`), `bob[7p 8<low=high] carol[9] dave[]`},
	{ofPeer("newConsumer", `,"id":10,`+clientConsumer+`,"peerName":"dave"`), `bob[7p 8<low=high] carol[9] dave[10]`},
	{ofPeer("consumerClosed", `,"id":7,"peerName":"bob"`), `bob[8<low=high] carol[9] dave[10]`},
	{ofPeer("peerClosed", `,"name":"carol"`), `bob[8<low=high] dave[10]`},
	{ofPeer("newConsumer", `,"id":9,`+clientConsumer+`,"peerName":"bob"`), `bob[8<low=high 9] dave[10]`},
	{ofPeer("newConsumer", `,"id":7,`+clientConsumer+`,"peerName":"bob"`), `bob[8<low=high 9 7] dave[10]`},
	{ofPeer("newPeer", `,"name":"carol","consumers":[]`), `bob[8<low=high 9 7] dave[10] carol[]`},
	{ofPeer("peerClosed", `,"name":"bob"`), `dave[10] carol[]`},
	{ofPeer("newConsumer", `,"id":8,`+clientConsumer+`,"peerName":"carol"`), `dave[10] carol[8]`},
}

// shortPeers is what a client knows of the others, in short.
func shortPeers(peers []*PeerInfo) string {
	var all []string
	for _, p := range peers {
		var consumers []string
		for _, c := range p.Consumers {
			text := fmt.Sprint(c.ID)
			if c.Paused {
				text += "p"
			}
			if c.PreferredProfile != ProfileDefault {
				text += "<" + string(c.PreferredProfile)
			}
			if c.EffectiveProfile != nil {
				text += "=" + string(*c.EffectiveProfile)
			}
			consumers = append(consumers, text)
		}
		all = append(all, p.Name+"["+strings.Join(consumers, " ")+"]")
	}
	return strings.Join(all, " ")
}

func TestClientKnowsWhatTheServerHasSaid(t *testing.T) {
	t.Parallel()
	m := joinedMachine(t, ClientConfig{})
	require.Equal(t, `bob[7]`, shortPeers(m.Peers()))
	type moment struct {
		peers []*PeerInfo
		text  string
	}
	var moments []moment
	var heard []Message
	for _, news := range clientNews {
		moments = append(moments, moment{m.Peers(), peersText(t, m.Peers())})
		msg := clientMessage[Message](t, news.wire)
		fx := m.Receive(clientDawn, msg)
		require.Equal(t, Effects{Deliver: []Message{msg}}, fx, news.wire)
		require.Equal(t, news.want, shortPeers(m.Peers()), news.wire)
		requireClientModel(t, m)
		heard = append(heard, msg)
	}
	carol := m.Peers()[1]
	require.Equal(t, "carol", carol.Name)
	require.Nil(t, carol.AppData, "of the one who has come back")
	for i, was := range moments {
		require.Equal(t, was.text, peersText(t, was.peers), "what was handed out before %s stays", clientNews[i].wire)
	}
	for i, msg := range heard {
		require.JSONEq(t, clientNews[i].wire, clientText(msg), "and what was delivered")
	}
	m.Receive(clientDawn, new(Closed))
	require.Empty(t, m.Peers())
}

// The answer to enableConsumer says what holds, whatever was said before.
func TestEnabledConsumerIsAsTheAnswerSays(t *testing.T) {
	t.Parallel()
	m := joinedMachine(t, ClientConfig{})
	before := m.Peers()
	_, err := m.Send(clientDawn, &EnableConsumer{ID: 7, TransportID: 3})
	require.NoError(t, err)
	m.Receive(clientDawn, clientMessage[Message](t, ofPeer("consumerPaused", `,"id":7,"peerName":"bob"`)))
	require.Equal(t, `bob[7p]`, shortPeers(m.Peers()))
	m.Receive(clientDawn, &Response{Head: Head{RequestID: "2"},
		Result: json.RawMessage(`{"paused":false,"preferredProfile":"medium","effectiveProfile":"low"}`)})
	require.Equal(t, `bob[7<medium=low]`, shortPeers(m.Peers()))
	require.Equal(t, `bob[7]`, shortPeers(before))

	// A consumer that has gone meanwhile does not come back.
	_, err = m.Send(clientDawn, &EnableConsumer{ID: 7, TransportID: 3})
	require.NoError(t, err)
	m.Receive(clientDawn, &ConsumerClosed{ID: 7, PeerName: "bob"})
	fx := m.Receive(clientDawn, &Response{Head: Head{RequestID: "3"}, Result: json.RawMessage(`{"paused":true}`)})
	require.NoError(t, fx.Done[0].Err)
	require.Equal(t, `bob[]`, shortPeers(m.Peers()))
	requireClientModel(t, m)
}

func TestMalformedEntriesOfAJoinAreSkipped(t *testing.T) {
	t.Parallel()
	good := `{"id":7,` + clientConsumer + `,"peerName":"bob"}`
	entry := func(consumers string) string { return `{"name":"bob","consumers":[` + consumers + `]}` }
	for result, want := range map[string]string{
		`{"peers":[` + entry(good) + `]}`: `bob[7]`,
		`{}`:                              ``,
		`{"peers":[]}`:                    ``,
		`{"peers":[null,5,"x",[],{},{"name":7},{"name":null},` + entry("") + `]}`:                           `bob[]`,
		`{"peers":[{"name":"","consumers":[]},` + entry(good) + `]}`:                                        `bob[7]`,
		`{"peers":[{"name":"bad"},` + entry(good) + `]}`:                                                    `bad[] bob[7]`,
		`{"peers":[{"name":"bad","consumers":7},` + entry(good) + `]}`:                                      `bob[7]`,
		`{"peers":[` + entry(good) + `,` + entry("") + `]}`:                                                 `bob[7]`,
		`{"peers":[` + entry(`null,5,{},{"id":0},{"id":"x"},{"id":9},{"id":-1},`+good+`,`+good) + `]}`:      `bob[7]`,
		`{"peers":[` + entry(good) + `,{"name":"carol","consumers":[` + good + `]}]}`:                       `bob[7] carol[]`,
		`{"peers":[{"name":"bob","name":"bob"},{"name":"carol","consumers":[]}]}`:                           ``,
		`{"peers":[{"name":"carol","Consumers":[],"x":1,"appData":{"a":1},"consumers":[{}]}],"more":[1,2]}`: `carol[]`,
	} {
		m := clientAfter(t, ClientConfig{}, "start", clientJoins)
		fx := m.Receive(clientDawn, &Response{Head: Head{RequestID: "1"}, Result: json.RawMessage(result)})
		require.Len(t, fx.Done, 1)
		if strings.Contains(result, `"name":"bob","name"`) { // which is no JSON for us
			require.Error(t, fx.Done[0].Err)
			require.Equal(t, ClientNew, m.State())
			continue
		}
		require.NoError(t, fx.Done[0].Err, result)
		require.Equal(t, ClientJoined, m.State())
		require.Equal(t, want, shortPeers(m.Peers()), result)
		requireClientModel(t, m)
		joined, err := fx.Done[0].Response.Join()
		require.NoError(t, err, "the caller gets the rest as well: %s", result)
		require.GreaterOrEqual(t, len(joined.Peers), len(m.Peers()))
		if strings.Contains(result, "more") {
			require.JSONEq(t, `[1,2]`, string(joined.Extra["more"]))
			require.JSONEq(t, `{"a":1}`, string(joined.Peers[0].AppData))
			require.Contains(t, joined.Peers[0].Extra, "Consumers")
		}
	}
}

func TestClientCountsWhatItIgnores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := newClient(t, nil)
		count := uint64(0)
		ignored := func(n uint64, wire ...string) {
			t.Helper()
			p.Say(wire...)
			synctest.Wait()
			count += n
			require.Equal(t, count, c.Ignored(), "%s", wire)
		}
		ignored(1, told(ofPeer("newPeer", `,"name":"x","consumers":[]`)))
		ignored(1, granted(77, `{}`))
		ignored(1, denied(77, 500, "no"))
		ignored(0, `{"notification":true,"method":"ours","data":{}}`)
		p.Answer(asked(1, clientJoin), told(ofPeer("peerClosed", `,"name":"x"`)), granted(1, clientBob))
		_, err := c.Join(t.Context(), joinOf(t, "alice"))
		require.NoError(t, err)
		ignored(1) // which came before the answer
		for _, in := range []string{
			ofPeer("newPeer", `,"name":"bob","consumers":[]`), ofPeer("peerClosed", `,"name":"nobody"`),
			ofPeer("newConsumer", `,"id":8,`+clientConsumer+`,"peerName":"nobody"`),
			ofPeer("consumerClosed", `,"id":99,"peerName":"bob"`),
			ofPeer("consumerPaused", `,"id":99,"peerName":"bob"`), ofPeer("novelty", ``), ofPeer("leave", ``),
		} {
			ignored(1, told(in))
		}
		ignored(0, told(ofPeer("consumerPaused", `,"id":7,"peerName":"bob"`)))
		ignored(0, told(ofPeer("closed", "")))
		ignored(1, told(ofPeer("closed", "")))
		clientHears(t, c, `{"notification":true,"method":"ours","data":{}}`,
			ofPeer("consumerPaused", `,"id":7,"peerName":"bob"`), ofPeer("closed", ""))
		require.NoError(t, c.Close())
	})
}

// TestPeersMayBeReadWhileTheyChange is for the race detector.
func TestPeersMayBeReadWhileTheyChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, nil)
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					peers := c.Peers()
					before := peersText(t, peers)
					_ = c.State() // lets another one have the lock
					if peersText(t, peers) != before {
						t.Error("what was handed out has changed")
						return
					}
				}
			})
		}
		for range 20 {
			for _, news := range clientNews {
				p.Say(told(news.wire))
				_, err := c.Next(t.Context())
				require.NoError(t, err)
			}
			p.Say(told(ofPeer("peerClosed", `,"name":"dave"`)), told(ofPeer("peerClosed", `,"name":"carol"`)),
				told(ofPeer("newPeer", `,"name":"bob","consumers":[{"id":7,`+clientConsumer+`,"peerName":"bob"}]`)))
			for range 3 {
				_, err := c.Next(t.Context())
				require.NoError(t, err)
			}
		}
		close(stop)
		readers.Wait()
		require.Equal(t, `bob[7]`, shortPeers(c.Peers()))
		require.NoError(t, c.Close())
	})
}
