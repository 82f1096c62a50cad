package mysql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/mysql/mysqltest"
)

// lookAt asks a server as the user until it is as wanted.
func lookAt(t *testing.T, l engine.Looker, what string, want func(engine.Sight) bool) (s engine.Sight) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s, err = l.Look(t.Context()); err == nil && want(s) {
			return s
		}
	}
	t.Fatalf("%s is never %s: %+v, %v", l.Address(), what, s, err)
	return s
}

func memberAt(t *testing.T, s *mysqltest.Server, user string) engine.Looker {
	t.Helper()
	l, err := (Engine{}).Member("mysql://" + user + "@" + s.Address() + "?auth=env:DB_AUTH")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestRealServers asks a primary and its replica: who writes, how far each is, how old the replica's data is, and what is wrong with it.
func TestRealServers(t *testing.T) {
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Setenv("DB_AUTH", mysqltest.Password)
	primary, replica := mysqltest.New(t), mysqltest.New(t)
	replica.Follow(t, primary)
	p, r := memberAt(t, primary, "backstay"), memberAt(t, replica, "backstay")
	replicates := func(s engine.Sight) bool { return s.Role == engine.RoleReplica && s.Broken == "" && s.Lag == 0 }
	lookAt(t, r, "a replica that replicates", replicates)
	primary.Exec(t, "CREATE DATABASE shop; CREATE TABLE shop.t (n INT); INSERT INTO shop.t VALUES (1)")
	s := lookAt(t, p, "primary", func(s engine.Sight) bool { return s.Role == engine.RolePrimary })
	if s.Position.Mark != primary.Exec(t, "SELECT @@global.gtid_binlog_pos") || s.Position.Mark == "" || s.Lag >= 0 || s.Broken != "" || !strings.Contains(s.Version, "MariaDB") {
		t.Errorf("primary: %+v", s)
	}
	lookAt(t, r, "where its primary is", func(o engine.Sight) bool { return replicates(o) && o.Position.Mark == s.Position.Mark })

	// One whose data is old says how old.
	replica.Exec(t, "STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=1000; START SLAVE")
	primary.Exec(t, "INSERT INTO shop.t VALUES (2)")
	lookAt(t, r, "behind", func(s engine.Sight) bool {
		return s.Role == engine.RoleReplica && s.Lag >= time.Second && s.Broken == ""
	})
	replica.Exec(t, "STOP SLAVE SQL_THREAD")
	lookAt(t, r, "at a stand", func(s engine.Sight) bool { return strings.Contains(s.Broken, "SQL No") && s.Lag < 0 })
	replica.Exec(t, "STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=0; START SLAVE")
	lookAt(t, r, "a replica that replicates", replicates)

	// Whoever may not see replication says so; a wrong password is the server's word.
	if s, err := memberAt(t, replica, "copy").Look(t.Context()); err != nil || s.Role != engine.RoleReplica || !strings.Contains(s.Broken, "denied") {
		t.Errorf("without the right to see: %+v, %v", s, err)
	}
	t.Setenv("DB_AUTH", "wrong")
	var refused *ServerError
	if _, err := memberAt(t, replica, "backstay").Look(t.Context()); !errors.As(err, &refused) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with another password: %v", err)
	}
	t.Setenv("DB_AUTH", mysqltest.Password)

	// The primary dies, the replica becomes one.
	primary.Kill()
	lookAt(t, r, "a replica that has lost its primary", func(s engine.Sight) bool { return strings.Contains(s.Broken, "IO Connecting") })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if s, err := p.Look(ctx); err == nil {
		t.Errorf("a dead server answers: %+v", s)
	}
	replica.Promote(t)
	lookAt(t, r, "primary", func(s engine.Sight) bool { return s.Role == engine.RolePrimary && s.Broken == "" })
}
