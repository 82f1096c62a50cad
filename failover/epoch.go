package failover

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// Epoch tells one line of a database's history from the next: each promotion begins a timeline with a higher number.
type Epoch struct {
	System   string // the identifier that initdb made; the same for all servers of a cluster
	Timeline uint32
}

// before says whether e is a past of o.
func (e Epoch) before(o Epoch) bool { return e.System == o.System && e.Timeline < o.Timeline }

// String prints the timeline.
func (e Epoch) String() string { return "timeline " + strconv.FormatUint(uint64(e.Timeline), 10) }

// life tells one stretch of a server's work, in which no number of a transaction is given twice, from the next: it ends
// with the process, and with each recovery. A process that recovers from the crash of a part of it keeps its start.
type life struct {
	started  string // pg_postmaster_start_time
	replayed string // pg_last_wal_replay_lsn: where its last recovery ended; "" if it needed none
}

// facts of a server that can be written to, or standby says why it can't.
type facts struct {
	epoch   Epoch
	life    life
	standby string
}

// factsColumns are those of facts, for a server that can be written to. The timeline is that of the file that is being
// written; the control file tells it only after the next checkpoint.
const factsColumns = `(select system_identifier::text from pg_control_system()), ` +
	`case when pg_is_in_recovery() then '' else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end, ` +
	`pg_postmaster_start_time()::text, coalesce(pg_last_wal_replay_lsn()::text, '')`

const factsQuery = `select case when pg_is_in_recovery() then 'it is a standby' ` +
	`when current_setting('transaction_read_only') = 'on' then 'it is read-only' else '' end, ` + factsColumns

// ask asks in one round trip, whatever the connection's way to query is.
func ask(ctx context.Context, conn *pgconn.PgConn) (facts, error) {
	results, err := conn.Exec(ctx, factsQuery).ReadAll()
	if err != nil {
		return facts{}, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 5 {
		return facts{}, fmt.Errorf("ask the server what it is: an answer of another shape")
	}
	row := results[0].Rows[0]
	f := facts{standby: string(row[0])}
	return f, f.read(string(row[1]), string(row[2]), string(row[3]), string(row[4]))
}

// read takes the columns of factsColumns.
func (f *facts) read(system, timeline, started, replayed string) error {
	f.epoch.System = system
	f.life = life{started: started, replayed: replayed}
	if timeline == "" {
		return nil
	}
	n, err := strconv.ParseUint(timeline, 16, 32)
	if err != nil {
		return fmt.Errorf("read the timeline of the server: %w", err)
	}
	f.epoch.Timeline = uint32(n)
	return nil
}
