package postgres

// maxUnnamed bounds the copy of a statement without a name.
const maxUnnamed = 16 << 10

// tracker follows both directions of a session and knows what is open in it.
//
// Each Query, Sync and FunctionCall owes one ReadyForQuery. Messages of the extended protocol that no Sync follows owe
// nothing and yet are not over. A COPY from the client swallows the Syncs that were sent along with it.
type tracker struct {
	up, down walker
	pending  int  // ReadyForQuery that are owed
	syncs    int  // of them, at most so many to Syncs
	status   byte // of the last ReadyForQuery: I, T, E
	unsynced bool // the extended protocol is in use and no Sync followed
	copying  bool // the client sends a COPY
	bye      bool // the client said that it goes
	lost     bool // what was seen can not be explained: never idle again

	scan    scan
	naming  bool            // in the name at the head of a Parse
	commits map[string]bool // prepared statements whose text may end a transaction, and whether it may commit one
	unnamed []byte          // Parse body of the statement without a name; nil if there is none
	keeping bool            // unnamed is being read
	large   bool            // unnamed was too large to keep
	part    []byte          // of a Parse or Bind that came in several pieces: its head

	partial  []byte // of a ParameterStatus that comes
	reported []byte // ParameterStatus messages that the client has, in their order
}

// idle says whether nothing is open and nothing under way.
func (t *tracker) idle() bool {
	return t.pending == 0 && t.status == 'I' && !t.unsynced && !t.copying && !t.lost && t.up.between() && t.down.between()
}

// unknown says whether what is under way may have happened, when the answer to it never comes.
func (t *tracker) unknown() bool {
	open := t.pending > 0 || t.unsynced
	switch t.status {
	case 'E': // COMMIT takes it back too; what comes behind it, or behind ROLLBACK, may happen
		return open && t.scan.more || t.lost
	case 'I':
		return open || t.copying || t.lost || !t.up.between()
	}
	return open && (t.scan.mayCommit || t.scan.more) || t.lost
}

// client notes what the client sends.
func (t *tracker) client(b []byte) error {
	for len(b) > 0 {
		p, rest, ok, err := t.up.next(b)
		if err != nil {
			return err
		}
		b = rest
		if ok {
			t.sent(p)
		}
	}
	return nil
}

func (t *tracker) sent(p piece) {
	switch p.kind {
	case 'Q':
		if p.first {
			t.pending++
			t.scan.next()
			t.scan.reset()
			t.unnamed, t.large = t.unnamed[:0], false
		}
		t.scan.feed(p.body)
		if p.last {
			t.scan.done()
		}
	case 'S':
		if p.first && !t.copying {
			t.pending++
			t.syncs++
			t.unsynced = false
		}
	case 'F':
		if p.first {
			t.pending++
			t.scan.next()
		}
	case 'P':
		t.unsynced = true
		t.parse(p)
	case 'B':
		t.unsynced = true
		t.bind(p)
	case 'D', 'E', 'C', 'H':
		t.unsynced = true
	case 'c', 'f':
		t.copying = false
	case 'd':
	case 'X':
		t.bye = true
	default:
		t.lost = true
	}
}

// parse notes the text of a prepared statement, and keeps it whole if it has no name.
func (t *tracker) parse(p piece) {
	if p.first {
		t.scan.reset()
		t.naming, t.part, t.keeping = true, t.part[:0], false
	}
	body := p.body
	if t.naming {
		i := 0
		for i < len(body) && body[i] != 0 {
			i++
		}
		t.part = append(t.part, body[:i]...)
		if len(t.part) > 4096 {
			t.lost = true
		}
		if i == len(body) {
			return
		}
		t.naming = false
		t.begun()
		body = body[i+1:]
	}
	t.keep(body)
	mayCommit, over, more := t.scan.mayCommit, t.scan.over, t.scan.more
	t.scan.mayCommit, t.scan.over = false, false
	t.scan.feed(body)
	if p.last {
		t.scan.done()
	}
	if t.scan.over {
		t.commit(string(t.part), t.scan.mayCommit)
	}
	t.scan.mayCommit, t.scan.over, t.scan.more = mayCommit, over, more
}

// begun is called when the name of a Parse is known.
func (t *tracker) begun() {
	delete(t.commits, string(t.part))
	if len(t.part) == 0 {
		t.keeping, t.large, t.unnamed = true, false, append(t.unnamed[:0], 0)
	}
}

func (t *tracker) keep(b []byte) {
	switch {
	case !t.keeping:
	case len(t.unnamed)+len(b) > maxUnnamed:
		t.keeping, t.large, t.unnamed = false, true, nil
	default:
		t.unnamed = append(t.unnamed, b...)
	}
}

// commit remembers that executing the statement may end a transaction, and whether it may commit one.
func (t *tracker) commit(name string, may bool) {
	if t.commits == nil {
		t.commits = map[string]bool{}
	}
	if len(t.commits) < maxNames {
		t.commits[name] = t.commits[name] || may
	} else {
		t.lost = true
	}
}

// bind looks for the name of the statement, behind that of the portal.
func (t *tracker) bind(p piece) {
	if p.first {
		t.scan.next()
	}
	if len(t.commits) == 0 {
		return
	}
	if p.first {
		t.part = t.part[:0]
	}
	if len(t.part) < 256 {
		t.part = append(t.part, p.body[:min(len(p.body), 256)]...)
	}
	_, rest, ok := cut(t.part)
	if name, _, ok2 := cut(rest); ok && ok2 {
		commits, ends := t.commits[name]
		t.scan.mayCommit, t.scan.over = t.scan.mayCommit || commits, t.scan.over || ends
	} else if p.last {
		t.scan.mayCommit, t.scan.over = true, true // names as long as that: in doubt it does
	}
}

// server notes what the server sends. ended says that it announced the end of the session.
func (t *tracker) server(b []byte) (ended bool, err error) {
	for len(b) > 0 {
		p, rest, ok, err := t.down.next(b)
		if err != nil {
			return ended, err
		}
		b = rest
		if !ok {
			continue
		}
		switch p.kind {
		case 'D', 'd', 'T', 'C', '1', '2', '3':
			continue
		case 'Z':
			t.ready(p)
		case 'G':
			t.copyIn(p)
		case 'S':
			t.report(p)
		case 'W':
			t.lost = true
		case 'E':
			t.copying = false
			ended = ended || t.pending == 0 && !t.unsynced && t.status == 'I'
		}
	}
	return ended, nil
}

func (t *tracker) ready(p piece) {
	if !p.last && len(p.body) == 0 {
		return // only its head came
	}
	if !p.last || len(p.body) != 1 {
		t.lost = true
		return
	}
	t.status = p.body[0]
	t.pending--
	t.syncs = min(t.syncs, t.pending)
	if t.pending < 0 {
		t.lost, t.pending = true, 0
	}
	if t.pending == 0 && !t.unsynced {
		t.scan.mayCommit, t.scan.over, t.scan.more = false, false, false
	}
}

// copyIn is the server's word that it takes a COPY from the client. It ignores the Syncs that came along.
func (t *tracker) copyIn(p piece) {
	if !p.first {
		return
	}
	t.copying = true
	switch {
	case t.syncs == 0:
	case t.syncs == t.pending:
		t.pending, t.syncs, t.unsynced = 0, 0, true
	default:
		t.lost = true
	}
}
