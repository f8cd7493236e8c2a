package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// This file stands in for a scenario that ../shared/loadgen lacks, and is
// compiled into it (go build -overlay): `send` with more members than the
// sender in every room.

func init() {
	entries = append(entries, entry{"send-members", "as send, with -members in each room", 30 * time.Second, func() scenario { return &sendMembersScenario{} }})
}

// sendMembersScenario measures what members who only listen cost a send. They
// are the same users in all rooms, and none of them is in /sync.
type sendMembersScenario struct {
	rooms       int
	members     int
	concurrency int
}

func (s *sendMembersScenario) bind(fs *flag.FlagSet) {
	fs.IntVar(&s.rooms, "rooms", 10, "rooms, with one sender each")
	fs.IntVar(&s.members, "members", 100, "members of each room, its sender included")
	fs.IntVar(&s.concurrency, "concurrency", 10, "concurrent requests")
}

func (s *sendMembersScenario) run(ctx context.Context, r *run) error {
	if s.rooms < 1 || s.members < 1 || s.concurrency < 1 {
		return errors.New("-rooms, -members and -concurrency must be at least 1")
	}
	senders, err := r.registerUsers(ctx, "sender", s.rooms)
	if err != nil {
		return err
	}
	listeners, err := r.registerUsers(ctx, "member", s.members-1)
	if err != nil {
		return err
	}
	r.progress("creating %d rooms of %d members", s.rooms, s.members)
	places := make([]room, s.rooms)
	err = r.parallel(ctx, s.rooms, func(ctx context.Context, c *caller, i int) (err error) {
		places[i], err = c.createRoom(ctx, senders[i], fmt.Sprintf("loadgen %d", i))
		return err
	})
	if err != nil {
		return err
	}
	err = r.parallel(ctx, s.rooms*(s.members-1), func(ctx context.Context, c *caller, i int) error {
		return c.join(ctx, listeners[i/s.rooms], places[i%s.rooms])
	})
	if err != nil {
		return err
	}

	r.progress("sending for %v", r.opts.duration)
	if err := r.beginMeasuring(); err != nil {
		return err
	}
	var mu sync.Mutex
	acked := make([][]ackedMessage, s.rooms)
	var out sendReport
	var latency samples
	var nextSeq atomic.Int64
	start := time.Now()
	deadline := start.Add(r.opts.duration)
	var workers sync.WaitGroup
	for w := range s.concurrency {
		workers.Go(func() {
			c := r.api.newCaller()
			for turn := w; ctx.Err() == nil && time.Now().Before(deadline); turn += s.concurrency {
				seq := int(nextSeq.Add(1)) - 1
				if seq >= r.opts.maxEvents {
					return
				}
				place := turn % s.rooms
				began := time.Now()
				eventID, err := c.send(ctx, senders[place], places[place], fmt.Sprintf("m%d", seq), messageContent(marker{seq: seq}, r.opts.bodyBytes))
				took := time.Since(began)
				mu.Lock()
				if err == nil {
					acked[place] = append(acked[place], ackedMessage{seq, eventID})
					out.Acked++
				} else {
					out.Failed++
				}
				mu.Unlock()
				if err == nil {
					latency.add(took)
				} else if !sleep(ctx, firstPause) {
					return
				}
			}
		})
	}
	workers.Wait()
	elapsed := time.Since(start)
	r.report.Work["event"] = out.Acked
	r.endMeasuring()
	out.EventsPerSecond = perSecond(out.Acked, elapsed)
	out.Latency = latency.summary()
	history, err := verifyHistory(ctx, r, senders, places, acked, out.Acked+out.Failed)
	out.History = &history
	r.report.Result = out
	if err != nil {
		return err
	}
	if history.Lost > 0 || history.Duplicates > 0 {
		r.problem("%d acknowledged events are not in the history, %d are there more than once", history.Lost, history.Duplicates)
	}
	return context.Cause(ctx)
}
