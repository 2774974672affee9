package mediasoupproto

import (
	"encoding/json"
	"fmt"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// The types of statistics.
const (
	StatsTransport   = "transport"
	StatsInboundRTP  = "inbound-rtp"
	StatsOutboundRTP = "outbound-rtp"
)

// A TransportState is what [TransportStats] say of a transport.
type TransportState struct {
	Type                  string         `json:"type"` // [StatsTransport]
	ID                    uint32         `json:"id"`
	Timestamp             int64          `json:"timestamp"` // in ms since some time before
	BytesReceived         *int64         `json:"bytesReceived,omitempty"`
	BytesSent             *int64         `json:"bytesSent,omitempty"`
	ICESelectedTuple      *ICETuple      `json:"iceSelectedTuple,omitempty"`
	DTLSState             string         `json:"dtlsState,omitempty"`          // new, connecting, connected, failed or closed
	ICEConnectionState    string         `json:"iceConnectionState,omitempty"` // new, connected, completed or disconnected
	LocalAvailableSendBW  *AvailableSend `json:"localAvailableSendBw,omitempty"`
	RemoteAvailableSendBW *AvailableSend `json:"remoteAvailableSendBw,omitempty"`
	Extra                 Fields         `json:"-"`
}

// An ICETuple is the path that ICE has chosen.
type ICETuple struct {
	LocalIP    string `json:"localIP"`
	LocalPort  uint16 `json:"localPort"`
	Protocol   string `json:"protocol"`
	RemoteIP   string `json:"remoteIP,omitempty"`
	RemotePort uint16 `json:"remotePort,omitempty"`
	Extra      Fields `json:"-"`
}

// AvailableSend is an estimate of what one side may send.
type AvailableSend struct {
	MaxBitrate *int64   `json:"maxBitrate,omitempty"` // in bit/s
	Bitrate    int64    `json:"bitrate"`              // in bit/s
	SSRCs      []uint32 `json:"ssrcs,omitzero"`
	Extra      Fields   `json:"-"`
}

// RTPStreamStats are what [ProducerStats] and [ConsumerStats] say of a stream.
type RTPStreamStats struct {
	Type             string   `json:"type"` // [StatsInboundRTP] or [StatsOutboundRTP]
	ID               string   `json:"id"`
	Timestamp        int64    `json:"timestamp"` // in ms since some time before
	SSRC             uint32   `json:"ssrc"`
	MediaType        Kind     `json:"mediaType,omitempty"`
	Kind             Kind     `json:"kind"`
	MimeType         string   `json:"mimeType"`
	PacketCount      int64    `json:"packetCount"`
	ByteCount        int64    `json:"byteCount"`
	Bitrate          int64    `json:"bitrate"` // in bit/s
	PacketsLost      int64    `json:"packetsLost"`
	FractionLost     int64    `json:"fractionLost"` // of 256
	PacketsDiscarded int64    `json:"packetsDiscarded"`
	PacketsRepaired  int64    `json:"packetsRepaired"`
	FIRCount         int64    `json:"firCount"`
	PLICount         int64    `json:"pliCount"`
	NACKCount        int64    `json:"nackCount"`
	SLICount         int64    `json:"sliCount"`
	TransportID      uint32   `json:"transportId,omitempty"`
	Jitter           *int64   `json:"jitter,omitempty"`        // in units of the codec's clock; inbound
	RoundTripTime    *float64 `json:"roundTripTime,omitempty"` // in ms, garbage before the first report; outbound
	InboundRTPID     string   `json:"inboundRtpId,omitempty"`  // of the producer's stream; outbound
	Extra            Fields   `json:"-"`
}

// Transport returns the statistics. The error is a [*DecodeError].
func (m *TransportStats) Transport() ([]*TransportState, error) {
	return decodeStats[TransportState](m.wireType(), m.Stats)
}

// Streams returns the statistics, one for each stream. The error is a [*DecodeError].
func (m *ProducerStats) Streams() ([]*RTPStreamStats, error) {
	return decodeStats[RTPStreamStats](m.wireType(), m.Stats)
}

// Streams returns the statistics, those of the producer's stream first. The error is a
// [*DecodeError].
func (m *ConsumerStats) Streams() ([]*RTPStreamStats, error) {
	return decodeStats[RTPStreamStats](m.wireType(), m.Stats)
}

func decodeStats[T any](typ string, stats []json.RawMessage) ([]*T, error) {
	all := make([]*T, len(stats))
	for i, value := range stats {
		all[i] = new(T)
		if err := jsonx.Unmarshal(value, all[i]); err != nil {
			e := decodeError(typ, err)
			e.Field = fmt.Sprintf("stats[%d]", i) + dotted(e.Field)
			return nil, e
		}
	}
	return all, nil
}

func dotted(field string) string {
	if field == "" || field[0] == '.' || field[0] == '[' {
		return field
	}
	return "." + field
}

// JSON returns the statistics as a [TransportStats] has them.
func (s *TransportState) JSON() (json.RawMessage, error) { return jsonx.Append(nil, "", "", s) }

// JSON returns the statistics as [ProducerStats] and [ConsumerStats] have them.
func (s *RTPStreamStats) JSON() (json.RawMessage, error) { return jsonx.Append(nil, "", "", s) }
