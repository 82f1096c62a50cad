package lab

// Cut drops all that from sends to to, and nothing of what comes back: one direction.
func (l *Lab) Cut(from, to string) {
	l.t.Helper()
	f, t := l.Host(from), l.Host(to)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.cuts[t.IP] {
		l.ip("-n", f.namespace, "route", "add", "blackhole", t.IP+"/32")
		f.cuts[t.IP] = true
	}
}

// Part cuts both directions between each of some hosts and each of some others.
func (l *Lab) Part(some, others []string) {
	l.t.Helper()
	for _, a := range some {
		for _, b := range others {
			l.Cut(a, b)
			l.Cut(b, a)
		}
	}
}

// Isolate parts a host from all others.
func (l *Lab) Isolate(host string) {
	l.t.Helper()
	for other := range l.hosts {
		if other != host {
			l.Part([]string{host}, []string{other})
		}
	}
}

// Heal ends all cuts.
func (l *Lab) Heal() {
	l.t.Helper()
	for _, h := range l.hosts {
		h.mu.Lock()
		for to := range h.cuts {
			l.ip("-n", h.namespace, "route", "del", "blackhole", to+"/32")
			delete(h.cuts, to)
		}
		h.mu.Unlock()
	}
}
