package lab

// nowhere is the hardware address of nobody. What is sent to it vanishes without an error, as in a network that drops;
// a blackhole route would refuse connections at once.
const nowhere = "02:00:00:00:00:01"

// Cut drops all that from sends to to, and nothing of what comes back: one direction.
func (l *Lab) Cut(from, to string) {
	l.t.Helper()
	f, t := l.Host(from), l.Host(to)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.cuts[t.IP] {
		l.ip("-n", f.namespace, "neigh", "replace", t.IP, "lladdr", nowhere, "dev", "eth0", "nud", "permanent")
		f.cuts[t.IP] = true
	}
}

// Refuse has what from sends to to fail at once with an error, as where a firewall answers; what comes back is not touched.
func (l *Lab) Refuse(from, to string) {
	l.t.Helper()
	f, t := l.Host(from), l.Host(to)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.refuses[t.IP] {
		l.ip("-n", f.namespace, "route", "add", "blackhole", t.IP+"/32")
		f.refuses[t.IP] = true
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

// Heal ends all cuts and refusals.
func (l *Lab) Heal() {
	l.t.Helper()
	for _, h := range l.hosts {
		h.mu.Lock()
		for to := range h.cuts {
			l.ip("-n", h.namespace, "neigh", "del", to, "dev", "eth0")
			delete(h.cuts, to)
		}
		for to := range h.refuses {
			l.ip("-n", h.namespace, "route", "del", "blackhole", to+"/32")
			delete(h.refuses, to)
		}
		h.mu.Unlock()
	}
}
