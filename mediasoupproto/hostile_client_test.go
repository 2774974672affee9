package mediasoupproto

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server can name tens of thousands of peers in one message: the client must not copy all that
// it has for each of them. Not parallel, because it counts allocations.
func TestManyPeersOfAJoinAreTakenOneByOne(t *testing.T) {
	const n = 3000
	joined := &JoinResult{}
	for i := range n {
		joined.Peers = append(joined.Peers, &PeerInfo{Name: fmt.Sprint(i)})
	}
	allocs := testing.AllocsPerRun(3, func() {
		m := NewClientMachine(ClientConfig{})
		var fx Effects
		m.entered(&fx, &Join{}, joined, nil, false)
		require.Len(t, m.Peers(), n)
	})
	require.Less(t, allocs, 1.5*n)
}

func TestPeersOfAJoinThatMakeNoSenseAreLeftOut(t *testing.T) {
	t.Parallel()
	consumer := func(id uint32) *ConsumerInfo { return &ConsumerInfo{ID: id, RTPParameters: &RTPParameters{}} }
	m := NewClientMachine(ClientConfig{})
	var fx Effects
	m.entered(&fx, &Join{}, &JoinResult{Peers: []*PeerInfo{
		nil, {}, {Name: "ann", Consumers: []*ConsumerInfo{nil, {}, {ID: 5}, consumer(1), consumer(1)}},
		{Name: "ann", Consumers: []*ConsumerInfo{consumer(2)}}, {Name: "ben", Consumers: []*ConsumerInfo{consumer(1)}},
	}}, nil, false)
	require.Len(t, m.Peers(), 2)
	require.Equal(t, "ann", m.Peers()[0].Name)
	require.Len(t, m.Peers()[0].Consumers, 1)
	require.Equal(t, "ben", m.Peers()[1].Name)
	require.Empty(t, m.Peers()[1].Consumers)
	require.NotNil(t, m.consumer(1))
	require.Nil(t, m.consumer(2))

	before := m.Peers()
	require.False(t, m.addPeer(&PeerInfo{Name: "ann"}))
	require.True(t, m.addPeer(&PeerInfo{Name: "cleo"}))
	require.Len(t, before, 2)
	require.True(t, m.apply(&fx, &PeerClosed{Name: "ann"}))
	require.Equal(t, "ann", before[0].Name, "what has been handed out does not change")
	require.Nil(t, m.consumer(1))
}
