package postgres

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
)

// place is where the spool lies, as the server sees it: what a commit that waits for us survives.
type place int

const (
	unknownPlace place = iota
	anotherHost
	sameHost
	sameDisk
)

// place finds out. Where the server does not tell where its data lies, the host alone is compared.
func (s *Source) place(ctx context.Context, db *pgconn.PgConn) place {
	if !onThisHost(ctx, hostOf(db)) {
		return anotherHost
	}
	row, err := queryRow(ctx, db, "SELECT current_setting('data_directory')")
	if err == nil && s.options.StateDir != "" && onOneDisk(row[0], s.options.StateDir) {
		return sameDisk
	}
	return sameHost
}

// hostOf is where a connection leads, whichever host of the URL that is.
func hostOf(db *pgconn.PgConn) string {
	addr := db.Conn().RemoteAddr()
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return "/" // a socket
}

// onThisHost reports whether a server at host, a name, an address or a socket's folder, runs here.
func onThisHost(ctx context.Context, host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if a = a.Unmap(); a.IsLoopback() {
			return true
		}
		for _, o := range own {
			if p, err := netip.ParsePrefix(o.String()); err == nil && p.Addr().Unmap() == a {
				return true
			}
		}
	}
	return false
}

// advise says what a commit that waits for us survives, which does so until it is in so many repositories; none: until it is in the spool.
func (p place) advise(repositories int) engine.Advice {
	const kept = "commits wait until they are safe in "
	switch {
	case repositories == 1:
		return engine.Advice{Severity: "info", Text: kept + "a repository, and are not lost with the server, nor with its host or this one, as long as the repository lies elsewhere"}
	case repositories > 1:
		return engine.Advice{Severity: "info", Text: fmt.Sprintf("%s%d repositories, and are not lost with the server, nor with its host or this one, as long as one of these lies elsewhere", kept, repositories)}
	}
	const waits = kept + "the spool, and are not lost with the server"
	switch p {
	case sameDisk:
		return engine.Advice{Severity: "warning", Text: waits + "; but the spool lies on the disk of the server's data, and is lost with that",
			Do: "keep .backstay on another disk, or better run Backstay on another host"}
	case sameHost:
		return engine.Advice{Severity: "info", Text: waits + "; but the spool lies on the server's host, and is lost with that",
			Do: "to survive that too run Backstay on another host, or let commits wait for a repository (ack: repository)"}
	case unknownPlace:
		return engine.Advice{Severity: "info", Text: waits}
	default:
		return engine.Advice{Severity: "info", Text: waits + " or its host; only the loss of both that host and this one at once could lose some"}
	}
}

// findLog is the folder of the server's log, where the server runs here and lets us know; "" else.
func (s *Source) findLog(ctx context.Context, conn *replication.Conn) string {
	if !onThisHost(ctx, s.config.Host) {
		return ""
	}
	dir, err := conn.Show(ctx, "data_directory")
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "pg_wal")
}
