package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
)

// holdings are what a session has at its server beside data.
type holdings struct {
	doubt      string      // why it can not be moved, "" if it can
	settings   [][2]string // names and values, in the order in which they are made
	role       string      // of SET ROLE, "" if none
	statements []statement
	unnamed    []byte // Parse body of the statement without a name
}

type statement struct {
	name, text string
	types      []uint32
}

// wording asks a session what it holds: kind, name, value, more. It changes nothing in the session: it is a statement
// with a name, as one without would replace the client's. %s stands for names of settings that no view shows.
//
// Functions that set such a setting are looked through for its name: what they did shows nowhere else.
const wording = `with named(name, bare) as (
 select distinct pg_catalog.lower(m[1]), true
 from pg_catalog.pg_proc p, pg_catalog.regexp_matches(p.prosrc, 'set_config\s*\(\s*''([^'']+\.[^'']+)''', 'gi') m
 where p.oid > 16383 and p.prosrc ~* 'set_config'
 union select pg_catalog.lower(m[1]), true
 from pg_catalog.pg_proc p, pg_catalog.regexp_matches(p.prosrc, '\mset\s+(?:session\s+)?"?([a-z_][a-z0-9_$]*\.[a-z0-9_$.]+)', 'gi') m
 where p.oid > 16383 and p.prosrc ~* '\mset\s'
 union select n, true from pg_catalog.unnest(array[%s]::text[]) n
)
select 'temporary', '', '', '' where exists (select from pg_catalog.pg_depend where refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and refobjid = pg_catalog.pg_my_temp_schema())
union all select 'lock', '', '', '' where exists (select from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid())
union all select 'listen', c, '', '' from pg_catalog.pg_listening_channels() c
union all select 'cursor', name, '', '' from pg_catalog.pg_cursors where is_holdable
union all select 'function', p.oid::pg_catalog.regprocedure::text, '', '' from pg_catalog.pg_proc p where p.oid > 16383 and p.prosrc ~* 'set_config\s*\(\s*[^''\s]'
union all select 'role', pg_catalog.current_setting('role'), session_user::text, ''
union all select 'setting', name, setting, '' from pg_catalog.pg_settings where source = 'session' and name not like 'transaction\_%%'
union all select 'custom', n.name, pg_catalog.current_setting(n.name, true), '' from named n where pg_catalog.current_setting(n.name, true) is not null
union all select case when from_sql then 'prepare' else 'statement' end, name, statement, pg_catalog.array_to_string(parameter_types::pg_catalog.oid[], ' ') from pg_catalog.pg_prepared_statements where name <> '` + asker + `'`

// asker is the name of the statement in which a session is asked.
const asker = "backstay asks"

// ask puts the question. The session is idle. Who holds s.mu.
func (s *session) ask() {
	l := s.carrier.listener
	s.mode, s.holds, s.answer = known, holdings{}, nil
	s.asks++
	switch {
	case !s.movable:
		s.holds.doubt = "its login went through to the server and can not be repeated"
	case s.track.scan.doubt != "":
		s.holds.doubt = s.track.scan.doubt
	case s.track.large:
		s.holds.doubt = "its last statement was too large to keep"
	default:
		s.mode, s.since = asking, proxy.Running()
		s.primaryBegins(s.back)
		l.Asked.Add(1)
		if s.inquire() != nil {
			s.asked()
			s.mode, s.holds.doubt = known, "it could not be asked what it holds"
		}
	}
}

// inquire sends the question. While a change is planned it stays prepared at the server: it is put again, and then nobody may go on
// before it is answered.
func (s *session) inquire() error {
	names := make([]string, len(s.track.scan.names))
	for i, n := range s.track.scan.names {
		names[i] = quote(n)
	}
	sql, before := fmt.Sprintf(wording, strings.Join(names, ",")), s.asker
	s.stood = before == sql
	if s.asker = ""; s.target != "" {
		s.asker = sql
	}
	_ = s.back.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := s.back.conn.Write(inquiry(sql, before, s.asker))
	_ = s.back.conn.SetWriteDeadline(time.Time{})
	return err
}

// primaryBegins counts a question as something open: a route that holds is drained only when all have answered.
func (s *session) primaryBegins(b *backend) {
	if b.to.Primary {
		s.carrier.listener.Table.Begin()
	}
}

// asked is the end of a question.
func (s *session) asked() {
	if s.mode == asking && s.back.to.Primary {
		s.carrier.listener.Table.End()
	}
}

// vanished says whether the question stands prepared no more: the client had everything dropped that was.
func vanished(frames []piece) bool {
	return slices.ContainsFunc(frames, func(f piece) bool { return f.kind == 'E' && parseError(f.body).Code == "26000" })
}

// askAnew puts a question again that stands prepared no more. What else came is part of the answer.
func (s *session) askAnew(frames []piece) {
	s.asker, s.answer = "", nil
	for _, f := range frames {
		if f.kind == 'S' || f.kind == 'A' || f.kind == 'N' {
			s.answer = frame(s.answer, f.kind, f.body)
		}
	}
	if s.inquire() != nil {
		s.cutLost("the session did not say what it holds")
	}
}

// inquiry are the messages that ask sql: before is what stands prepared, after is what shall.
func inquiry(sql, before, after string) (b []byte) {
	zero := []byte{0, 0}
	if before != sql {
		if before != "" {
			b = frame(b, 'C', []byte{'S'}, text(asker))
		}
		b = frame(b, 'P', text(asker), text(sql), zero)
	}
	b = frame(b, 'B', []byte{0}, text(asker), zero, zero, zero)
	b = frame(b, 'E', []byte{0, 0, 0, 0, 0})
	if after == "" {
		b = frame(b, 'C', []byte{'S'}, text(asker))
	}
	return frame(b, 'S')
}

// quote makes a literal that reads the same whatever standard_conforming_strings is.
func quote(s string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

// maxAnswer bounds what a session may hold: texts of prepared statements most of all.
const maxAnswer = 1 << 20

// listen takes a part of the answer. It is called with s.mu held, and lets go of it.
func (s *session) listen(b *backend, part []byte) {
	s.answer = append(s.answer, part...)
	frames, over, err := answered(s.answer)
	switch {
	case err != nil || len(s.answer) > maxAnswer && !over:
		s.cutLost("the session did not say what it holds")
		s.mu.Unlock()
		return
	case !over:
		s.mu.Unlock()
		return
	}
	var news []byte
	if s.stood && vanished(frames) {
		s.askAnew(frames)
		s.mu.Unlock()
		return
	}
	s.holds = read(frames)
	for _, f := range frames {
		if f.kind == 'S' || f.kind == 'A' || f.kind == 'N' {
			news = frame(news, f.kind, f.body)
		}
		if f.kind == 'S' {
			s.track.reported = frame(s.track.reported, 'S', f.body)
		}
	}
	s.holds.unnamed = append([]byte(nil), s.track.unnamed...)
	s.asked()
	s.mode, s.answer = known, nil
	s.mu.Unlock()
	if len(news) > 0 && s.write(news, true) != nil {
		s.end()
		return
	}
	s.routed()
}

// answered splits b into messages, and says whether the last one is a ReadyForQuery.
func answered(b []byte) (all []piece, over bool, err error) {
	var w walker
	for len(b) > 0 {
		p, rest, ok, err := w.next(b)
		if err != nil {
			return nil, false, err
		}
		b = rest
		if ok && p.last {
			all = append(all, p)
		}
	}
	return all, w.between() && len(all) > 0 && all[len(all)-1].kind == 'Z', nil
}

// read understands the answer.
func read(frames []piece) (h holdings) {
	known := false
	for _, f := range frames {
		switch f.kind {
		case 'E':
			e := parseError(f.body)
			h.doubt = "it could not be asked what it holds: " + e.Message
		case 'D':
			row, err := fields(f.body)
			if err != nil || len(row) != 4 {
				h.doubt = "it did not say what it holds as expected"
				continue
			}
			h.add(row[0], row[1], row[2], row[3])
		case 'C':
			known = true
		case 'Z':
			if string(f.body) != "I" {
				known = false
			}
		}
	}
	if !known && h.doubt == "" {
		h.doubt = "it did not say what it holds"
	}
	return h
}

var errRow = errors.New("read a row: it is cut")

// fields are the values of a DataRow, "" for null.
func fields(b []byte) (all []string, err error) {
	if len(b) < 2 {
		return nil, errRow
	}
	count := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	for range count {
		if len(b) < 4 {
			return nil, errRow
		}
		n := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if n < 0 {
			all = append(all, "")
			continue
		}
		if int64(n) > int64(len(b)) {
			return nil, errRow
		}
		all = append(all, string(b[:n]))
		b = b[n:]
	}
	return all, nil
}

// add notes one row of the answer.
func (h *holdings) add(kind, name, value, more string) {
	switch kind {
	case "temporary":
		h.doubt = "it has temporary tables or the like"
	case "lock":
		h.doubt = "it holds an advisory lock"
	case "listen":
		h.doubt = "it listens to notifications"
	case "cursor":
		h.doubt = "it holds a cursor that outlived its transaction"
	case "prepare":
		h.doubt = "it made a prepared statement with PREPARE"
	case "function":
		h.doubt = "function " + name + " calls set_config with a name that its text does not show"
	case "role":
		if name != "none" {
			h.role = name
		}
	case "setting", "custom":
		h.settings = append(h.settings, [2]string{name, value})
		h.ascii(value)
	case "statement":
		h.statement(name, value, more)
	default:
		h.doubt = "it holds something unknown: " + kind
	}
	h.ascii(name)
}

// ascii doubts what could read otherwise while the client's encoding is not yet what it was.
func (h *holdings) ascii(s string) {
	for i := range len(s) {
		if s[i] >= 0x80 {
			h.doubt = "a name or a setting of it is not plain ASCII"
		}
	}
}

func (h *holdings) statement(name, sql, types string) {
	s := statement{name: name, text: sql}
	for _, t := range strings.Fields(types) {
		oid, err := strconv.ParseUint(t, 10, 32)
		if err != nil {
			h.doubt = "the types of a prepared statement could not be read"
			return
		}
		s.types = append(s.types, uint32(oid))
	}
	h.statements = append(h.statements, s)
}

// errDoubt ends a session that could not be made again.
var errDoubt = errors.New("make the session again at another server")

// restore makes at a new server what a session held.
func (h *holdings) restore(b *backend) error {
	if len(h.settings) == 0 && h.role == "" && len(h.statements) == 0 && len(h.unnamed) == 0 {
		return nil
	}
	out, owed := h.messages()
	if _, err := b.conn.Write(out); err != nil {
		return fmt.Errorf("make the session again: %w", err)
	}
	unnamed := len(h.unnamed) > 0
	for owed > 0 {
		kind, body, err := readFrame(b.conn)
		switch {
		case err != nil:
			return fmt.Errorf("make the session again: %w", err)
		case kind == 'S':
			b.greeting.statuses = frame(b.greeting.statuses, 'S', body)
		case kind == 'Z':
			owed--
		case kind == 'E' && !(unnamed && owed == 1): // a statement without a name that is no good any more fails when it is used
			return fmt.Errorf("%w: %v", errDoubt, parseError(body))
		}
	}
	return nil
}

// messages are those of restore, and how many ReadyForQuery they owe.
func (h *holdings) messages() (b []byte, owed int) {
	var sql bytes.Buffer
	for _, s := range h.settings {
		fmt.Fprintf(&sql, "select pg_catalog.set_config(%s,%s,false);", quote(s[0]), quote(s[1]))
	}
	if h.role != "" {
		fmt.Fprintf(&sql, `select pg_catalog.set_config('role',%s,false);`, quote(h.role))
	}
	if sql.Len() > 0 {
		b = frame(b, 'Q', text(sql.String()))
		owed++
	}
	for _, s := range h.statements {
		types := binary.BigEndian.AppendUint16(nil, uint16(len(s.types)))
		for _, t := range s.types {
			types = binary.BigEndian.AppendUint32(types, t)
		}
		b = frame(b, 'P', text(s.name), text(s.text), types)
	}
	if len(h.statements) > 0 {
		b = frame(b, 'S')
		owed++
	}
	if len(h.unnamed) > 0 {
		b = frame(frame(b, 'P', h.unnamed), 'S')
		owed++
	}
	return b, owed
}
