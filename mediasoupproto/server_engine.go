package mediasoupproto

import (
	"context"
	"time"
)

// A mediaQueue holds the operations of one room. They are carried out one after the other
// by a goroutine that exists only while there are some.
type mediaQueue struct {
	name    string
	ops     []MediaOp
	running bool

	// Of the goroutine alone.
	room   MediaRoom
	cancel context.CancelFunc
}

// enqueue adds an operation. Called under the hub's lock.
func (s *Server) enqueue(op MediaOp) {
	q := s.media[op.Room]
	if q == nil {
		q = &mediaQueue{name: op.Room}
		s.media[op.Room] = q
	}
	q.ops = append(q.ops, op)
	if !q.running {
		q.running = true
		s.working.Go(func() { s.work(q) })
	}
}

// work carries out the operations of a room until there are none.
func (s *Server) work(q *mediaQueue) {
	for {
		var ops []MediaOp
		s.hub.Locked(func() {
			if ops, q.ops = q.ops, nil; len(ops) > 0 {
				return
			}
			q.running = false
			if q.room == nil {
				delete(s.media, q.name)
			}
		})
		if len(ops) == 0 {
			return
		}
		for _, op := range ops {
			result, err := s.carryOut(q, op)
			if err != nil {
				result.Err = s.mediaError(op, err)
			}
			if op.Ticket != (Ticket{}) {
				s.step(func(now time.Time) ServerEffects { return s.machine.MediaDone(now, op.Ticket, result) })
			}
		}
	}
}

// mediaError returns what a client hears of an engine's error.
func (s *Server) mediaError(op MediaOp, err error) *Error {
	if e, ok := tellable(err); ok {
		return e
	}
	s.log.Error("mediasoupproto: media engine", "room", op.Room, "peer", op.ID.Peer, "id", op.ID.ID, "error", err)
	return errInternal
}

// carryOut carries out one operation. Called under no lock.
func (s *Server) carryOut(q *mediaQueue, op MediaOp) (r MediaResult, err error) {
	switch op.Kind {
	case MediaOpenRoom:
		ctx, cancel := context.WithCancel(context.Background())
		q.room, err = s.opts.Media.OpenRoom(ctx, op.Room, s.machine.cfg.Capabilities, roomEvents{s})
		if q.cancel = cancel; err != nil {
			cancel()
			q.room = nil
		}
		return r, err
	}
	if q.room == nil {
		return r, errNoMedia
	}
	switch op.Kind {
	case MediaCloseRoom:
		q.room.Close()
		q.cancel()
		q.room = nil
	case MediaCreateTransport:
		m, _ := op.Message.(*CreateTransport)
		if r.Transport, err = q.room.CreateTransport(op.ID, m); err == nil && r.Transport == nil {
			err = errNoMedia
		}
	case MediaUpdateTransport:
		m, _ := op.Message.(*UpdateTransport)
		err = q.room.UpdateTransport(op.ID, m)
	case MediaRestartTransport:
		if r.ICE, err = q.room.RestartTransport(op.ID); err == nil && r.ICE == nil {
			err = errNoMedia
		}
	case MediaCloseTransport:
		q.room.CloseTransport(op.ID)
	case MediaCreateProducer:
		err = q.room.CreateProducer(op.ID, op.Producer)
	case MediaPauseProducer:
		q.room.PauseProducer(op.ID, op.Paused)
	case MediaCloseProducer:
		q.room.CloseProducer(op.ID)
	case MediaEnableConsumer:
		r.Effective, err = q.room.EnableConsumer(op.ID, op.Consumer)
	case MediaPauseConsumer:
		q.room.PauseConsumer(op.ID, op.Paused)
	case MediaSetPreferredProfile:
		q.room.SetPreferredProfile(op.ID, op.Profile)
	case MediaRequestKeyFrame:
		q.room.RequestKeyFrame(op.ID)
	case MediaCloseConsumer:
		q.room.CloseConsumer(op.ID)
	case MediaTransportStats:
		r.Stats, err = q.room.TransportStats(op.ID)
	case MediaProducerStats:
		r.Stats, err = q.room.ProducerStats(op.ID)
	case MediaConsumerStats:
		r.Stats, err = q.room.ConsumerStats(op.ID)
	}
	return r, err
}

// roomEvents takes what an engine says by itself.
type roomEvents struct{ *Server }

// EffectiveProfile implements [MediaEvents].
func (e roomEvents) EffectiveProfile(consumer MediaID, p Profile) {
	e.step(func(now time.Time) ServerEffects { return e.machine.EffectiveProfile(now, consumer, p) })
}

// TransportClosed implements [MediaEvents].
func (e roomEvents) TransportClosed(transport MediaID, err error) {
	e.log.Warn("mediasoupproto: transport lost", "peer", transport.Peer, "id", transport.ID, "error", err)
	e.step(func(now time.Time) (fx ServerEffects) {
		fx, _ = e.machine.CloseTransport(now, transport, nil)
		return fx
	})
}
