package app

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// where is the answer to who is primary.
type where struct {
	Cluster  string      `json:"cluster"`
	State    route.State `json:"state"`
	Epoch    uint64      `json:"epoch"`
	Primary  string      `json:"primary,omitempty"`
	Address  string      `json:"address,omitempty"`
	Replicas []replica   `json:"replicas,omitempty"`
}

type replica struct {
	Member  string  `json:"member"`
	Address string  `json:"address"`
	Lag     float64 `json:"lag_seconds"` // negative: nobody knows
}

// primaryOf is what a route says of the primary.
func primaryOf(v *proxy.View) where {
	w := where{Cluster: v.Cluster, State: v.Open(), Epoch: v.Epoch}
	if w.State == route.Serving {
		w.Primary, w.Address = v.Primary, v.Address
	}
	for _, r := range v.Replicas {
		out := replica{Member: r.Member, Address: r.Address, Lag: r.Lag.Seconds()}
		if r.Unknown {
			out.Lag = -1
		}
		w.Replicas = append(w.Replicas, out)
	}
	return w
}

func answerHealth(w http.ResponseWriter, answer where) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if answer.Primary == "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // who asked is gone
}

// serveHealth answers on a socket until ctx ends.
func serveHealth(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}
