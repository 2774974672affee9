package galenepion

import (
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// encodingsOf groups the encodings of a track.
func encodingsOf(tracks []webrtc.TrackLocal) (groups [][]webrtc.TrackLocal) {
	same := func(a, b webrtc.TrackLocal) bool {
		return a.RID() != "" && b.RID() != "" && a.ID() == b.ID() && a.StreamID() == b.StreamID() && a.Kind() == b.Kind()
	}
next:
	for _, t := range tracks {
		for i, g := range groups {
			if same(g[0], t) {
				groups[i] = append(g, t)
				continue next
			}
		}
		groups = append(groups, []webrtc.TrackLocal{t})
	}
	return groups
}

// An encoding is one of several of a track. Its packets say which one they are of, what Pion
// leaves to the track.
type encoding struct {
	webrtc.TrackLocal
	mid func() string // of the section; "" before there is one
}

// Bind begins to send the track.
func (e *encoding) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	marked := &encodingContext{TrackLocalContext: ctx}
	marked.writer = encodingWriter{TrackLocalWriter: ctx.WriteStream()}
	for _, x := range ctx.HeaderExtensions() {
		switch x.URI {
		case sdp.SDESMidURI:
			marked.writer.marks = append(marked.writer.marks, mark{uint8(x.ID), []byte(e.mid())})
		case sdp.SDESRTPStreamIDURI:
			marked.writer.marks = append(marked.writer.marks, mark{uint8(x.ID), []byte(e.RID())})
		}
	}
	return e.TrackLocal.Bind(marked)
}

type encodingContext struct {
	webrtc.TrackLocalContext
	writer encodingWriter
}

// WriteStream returns what the track writes to.
func (c *encodingContext) WriteStream() webrtc.TrackLocalWriter { return &c.writer }

type encodingWriter struct {
	webrtc.TrackLocalWriter
	marks []mark
}

// A mark is a header extension.
type mark struct {
	id    uint8
	value []byte
}

// WriteRTP writes a packet with the marks.
func (w *encodingWriter) WriteRTP(header *rtp.Header, payload []byte) (int, error) {
	marked := header.Clone() // it is also that of other peer connections
	for _, m := range w.marks {
		if err := marked.SetExtension(m.id, m.value); err != nil {
			return 0, err
		}
	}
	return w.TrackLocalWriter.WriteRTP(&marked, payload)
}

// Write writes a packet with the marks.
func (w *encodingWriter) Write(b []byte) (int, error) {
	var p rtp.Packet
	if err := p.Unmarshal(b); err != nil {
		return 0, err
	}
	return w.WriteRTP(&p.Header, p.Payload)
}
