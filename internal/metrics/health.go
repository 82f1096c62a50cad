package metrics

import (
	"encoding/json"
	"errors"
	"net/http"
)

// Health is what /healthz answers, in one line of JSON.
type Health struct {
	Well    bool     `json:"well" doc:"whether the daemon itself is well; if so the answer's status is 200, else 503"`
	Reason  string   `json:"reason,omitempty" doc:"why it is not"`
	Version string   `json:"version,omitempty" doc:"of backstay"`
	Sources int      `json:"sources" doc:"number of sources"`
	Failing []string `json:"failing,omitempty" doc:"sources that are failing; this alone does not make the daemon unwell, since no restart would mend it"`
}

var errNotRunning = errors.New("the daemon is not running")

func (m *Metrics) health(w http.ResponseWriter, r *http.Request) {
	h, code := m.judge(r), http.StatusOK
	if !h.Well {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(h) // Whoever asked is gone if this fails.
}

func (m *Metrics) judge(r *http.Request) Health {
	f, err := m.asker.facts(r.Context())
	s := f.status
	if err == nil && !s.Running {
		err = errNotRunning
	}
	if err == nil && m.config.Well != nil {
		err = m.config.Well()
	}
	h := Health{Well: err == nil, Version: s.Version, Sources: len(s.Sources)}
	if err != nil {
		h.Reason = err.Error()
	}
	for _, source := range s.Sources {
		if source.State == "failing" {
			h.Failing = append(h.Failing, source.Name)
		}
	}
	return h
}
