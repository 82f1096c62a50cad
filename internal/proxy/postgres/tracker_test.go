package postgres

import "testing"

// TestWhatMayHaveHappened is what a client is told whose answer never comes: that nothing happened only where that is certain.
func TestWhatMayHaveHappened(t *testing.T) {
	query := func(sql string) []byte { return frame(nil, 'Q', text(sql)) }
	parse := func(name, sql string) []byte { return frame(nil, 'P', text(name), text(sql), []byte{0, 0}) }
	bind := func(name string) []byte {
		return frame(frame(nil, 'B', text(""), text(name), []byte{0, 0, 0, 0, 0, 0}), 'E', text(""), []byte{0, 0, 0, 0})
	}
	sync := frame(nil, 'S')
	insert := query("insert into t values (1)")
	prepared := [][]byte{parse("out", "rollback"), parse("in", "insert into t values (1)"), parse("end", "commit"), sync}
	for _, c := range []struct {
		name   string
		before [][]byte // answered with the status
		status byte
		sent   [][]byte
		want   bool
	}{
		{"a statement in a transaction", nil, 'T', [][]byte{insert}, false},
		{"COMMIT", nil, 'T', [][]byte{query("commit")}, true},
		{"ROLLBACK", nil, 'T', [][]byte{query("rollback")}, false},
		{"ROLLBACK and another statement", nil, 'T', [][]byte{query("rollback; insert into t values (1)")}, true},
		{"ROLLBACK and another message", nil, 'T', [][]byte{query("rollback"), insert}, true},
		{"a statement outside", nil, 'I', [][]byte{insert}, true},
		{"a statement in one that failed", nil, 'E', [][]byte{insert}, false},
		{"COMMIT of one that failed", nil, 'E', [][]byte{query("COMMIT;")}, false},
		{"ROLLBACK of one that failed", nil, 'E', [][]byte{query("rollback")}, false},
		{"a statement that fails too, and ROLLBACK", nil, 'E', [][]byte{insert, query("rollback")}, false},
		{"ROLLBACK of one that failed, and another statement", nil, 'E', [][]byte{query("ROLLBACK; insert into t values (1)")}, true},
		{"COMMIT of one that failed, and another statement", nil, 'E', [][]byte{query("commit; insert into t values (1)")}, true},
		{"ABORT, and another message", nil, 'E', [][]byte{query("abort"), insert}, true},
		{"ROLLBACK, and a function", nil, 'E', [][]byte{query("rollback"), frame(nil, 'F', make([]byte, 10))}, true},
		{"it goes on from a savepoint and commits", nil, 'E', [][]byte{query("rollback to s; insert into t values (1); commit")}, true},
		{"prepared ROLLBACK", prepared, 'E', [][]byte{bind("out"), sync}, false},
		{"prepared COMMIT", prepared, 'E', [][]byte{bind("end"), sync}, false},
		{"prepared COMMIT in a transaction", prepared, 'T', [][]byte{bind("end"), sync}, true},
		{"prepared ROLLBACK, and another statement", prepared, 'E', [][]byte{bind("out"), bind("in"), sync}, true},
		{"prepared ROLLBACK, and one behind a Sync", prepared, 'E', [][]byte{bind("out"), sync, bind("in"), sync}, true},
		{"parsed behind ROLLBACK, and not run", prepared, 'E', [][]byte{bind("out"), parse("", "insert into t values (1)"), sync}, false},
		{"prepared in a transaction, and ROLLBACK", prepared, 'T', [][]byte{bind("in"), bind("out"), sync}, false},
		{"ROLLBACK was answered", [][]byte{query("rollback")}, 'E', [][]byte{insert}, false},
	} {
		tr := tracker{status: 'I'}
		up := func(messages [][]byte) {
			for _, b := range messages {
				if err := tr.client(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		up(c.before)
		if len(c.before) == 0 {
			up([][]byte{query("begin")})
		}
		if _, err := tr.server(frame(nil, 'Z', []byte{c.status})); err != nil {
			t.Fatal(err)
		}
		up(c.sent)
		if got := tr.unknown(); got != c.want {
			t.Errorf("%s: unknown %v", c.name, got)
		}
	}
}
