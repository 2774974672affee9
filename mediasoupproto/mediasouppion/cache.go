package mediasouppion

// The size of a cache: about a second of video, and several of audio.
const (
	cachePackets = 1024 // a power of two
	cacheBytes   = 512 << 10
	cacheAudio   = 64 << 10
	cacheBegins  = 32 << 10
)

// A packetCache keeps the last packets of a stream for those who have lost them. It grows with
// what is put in, up to its size: nobody gets all that memory for a packet.
type packetCache struct {
	size    int64 // of the data; 0 is cacheBytes
	entries []cacheEntry
	data    []byte
	written int64 // bytes, with those that were left out at the end of data
}

type cacheEntry struct {
	seq    int64
	offset int64 // in what was written
	size   int
}

// put copies a packet.
func (c *packetCache) put(seq int64, packet []byte) {
	if len(packet) == 0 || len(packet) > maxPacket {
		return
	}
	if c.data == nil {
		if c.size == 0 {
			c.size = cacheBytes
		}
		c.data = make([]byte, min(cacheBegins, c.size))
		c.entries = make([]cacheEntry, cachePackets)
	}
	for size := int64(len(c.data)); size < c.size && c.written+int64(len(packet)) > size; size = int64(len(c.data)) {
		larger := make([]byte, min(2*size, c.size)) // nothing has been overwritten yet
		copy(larger, c.data)
		c.data = larger
	}
	at := c.written % c.size
	if at+int64(len(packet)) > c.size {
		c.written += c.size - at
		at = 0
	}
	copy(c.data[at:], packet)
	c.entries[uint64(seq)%cachePackets] = cacheEntry{seq: seq, offset: c.written, size: len(packet)}
	c.written += int64(len(packet))
}

// get returns a packet, or nil if it has never come or is gone. It is good until the next put.
func (c *packetCache) get(seq int64) []byte {
	if c.data == nil {
		return nil
	}
	e := c.entries[uint64(seq)%cachePackets]
	if e.seq != seq || e.size == 0 || c.written-e.offset > c.size {
		return nil
	}
	at := e.offset % c.size
	return c.data[at : at+int64(e.size)]
}

// free forgets all packets.
func (c *packetCache) free() { *c = packetCache{size: c.size} }
