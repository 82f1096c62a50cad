package postgres

import "bytes"

// changes are the ParameterStatus messages of now that tell a client something new; both are such messages in their
// order, and later ones count.
func changes(before, now []byte) (news []byte) {
	old := latest(before)
	for name, value := range latest(now) {
		if was, ok := old[name]; !ok || was != value {
			news = frame(news, 'S', text(name), text(value))
		}
	}
	return news
}

// latest are the last values in a series of ParameterStatus messages.
func latest(series []byte) map[string]string {
	all := map[string]string{}
	frames, _, err := answered(series)
	if err != nil {
		return all
	}
	for _, f := range frames {
		if name, rest, ok := cut(f.body); ok {
			all[name] = string(bytes.TrimSuffix(rest, []byte{0}))
		}
	}
	return all
}

// maxReported bounds the series that is kept of a session; what is kept of a longer one are the last values.
const maxReported = 8 << 10

// report notes a ParameterStatus of the server, which may come in pieces.
func (t *tracker) report(p piece) {
	if p.first {
		t.partial = t.partial[:0]
	}
	if len(t.partial)+len(p.body) > maxReported {
		t.lost = true
		return
	}
	t.partial = append(t.partial, p.body...)
	if !p.last {
		return
	}
	t.reported = frame(append([]byte(nil), t.reported...), 'S', t.partial)
	if len(t.reported) > maxReported {
		t.reported = changes(nil, t.reported)
	}
}
