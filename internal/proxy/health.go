package proxy

import (
	"encoding/json"
	"net/http"

	"github.com/backstaydb/backstay/internal/route"
)

// Health answers a load balancer: 200 while this listener can lead a new connection to a member, 503 otherwise, with the
// reason as JSON.
func (l *Listener) Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v := l.Table.View()
		_, ok := l.Choose(v)
		answer := struct {
			State   route.State `json:"state"`
			Expired bool        `json:"expired"` // nobody renewed the route
			Epoch   uint64      `json:"epoch"`
			Primary string      `json:"primary,omitempty"`
			Ready   bool        `json:"ready"`
		}{v.Open(), v.Expired(), v.Epoch, v.Primary, ok}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(answer) // who asked is gone
	})
}
