package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
)

// auditLog opens the record of what was done on this host. command is who writes: "daemon" or a command.
func (h *Host) auditLog(ctx context.Context, tool, command string) (*audit.Log, error) {
	signer, err := h.signer()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(h.State(), "audit")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	s, err := local.Open(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return audit.Open(audit.Config{
		Store: s, Name: audit.NameOf(host, signer), Signer: signer, Memory: audit.SeenFile(filepath.Join(h.State(), "audit.seen")), Now: h.Now,
		Stamp: audit.Entry{Who: audit.Who{User: who(), Host: host, Command: command}, Tool: tool, Config: h.Config.Digest,
			Environment: audit.Environment{OS: runtime.GOOS, Arch: runtime.GOARCH, PID: os.Getpid(), Directory: h.Config.Dir()}},
	})
}

// who runs this process.
func who() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}

// record writes an entry down, under the file that is in force.
func (d *daemon) record(ctx context.Context, e audit.Entry) error {
	if e.Config == "" {
		e.Config = d.host().Config.Digest
	}
	if d.log == nil {
		return errors.New("the audit log is not open yet")
	}
	_, err := d.log.Append(ctx, e)
	return err
}

// How often the audit log is copied into the repositories, and how often all of a copy is read and mended.
const (
	auditCopied = time.Minute
	auditMended = 24 * time.Hour
)

// copyAudit copies the audit log into the store of every repository until ctx ends. A store that fails is tried again with the next
// round: the log is whole here.
func (d *daemon) copyAudit(ctx context.Context) error {
	if err := d.record(ctx, audit.Entry{What: audit.Daemon, Why: "the daemon begins", Outcome: audit.Began}); err != nil {
		d.host().Log.Error("the audit log takes nothing", "err", err)
	}
	tick := time.NewTicker(auditCopied)
	defer tick.Stop()
	failing, mended := map[string]bool{}, map[string]time.Time{}
	for {
		for _, name := range d.host().Config.RepositoryNames() {
			mends := d.host().Now().Sub(mended[name]) >= auditMended
			err := d.copyAuditTo(ctx, name, mends)
			if mends && err == nil {
				mended[name] = d.host().Now()
			}
			if err != nil && !failing[name] && ctx.Err() == nil {
				d.host().Log.Warn("the audit log is not copied; trying again", "repository", name, "err", err)
			}
			failing[name] = err != nil
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := d.record(last, audit.Entry{What: audit.Daemon, Why: "the daemon ends", Outcome: audit.OK}); err != nil {
				d.host().Log.Error("the audit log takes nothing", "err", err)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (d *daemon) copyAuditTo(ctx context.Context, name string, mends bool) error {
	limit, do := time.Minute, d.log.CopyTo
	if mends {
		limit, do = 10*time.Minute, d.log.Mend
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	for _, p := range d.fleet.all() {
		if slices.Contains(p.config.Everywhere(), name) {
			var r *repository.Repository
			if r, err = p.writers.get(ctx, name); err == nil {
				// Through the store of a repository that was found: a folder that was unmounted must not be made anew by us.
				_, err = do(ctx, r.Store())
				return err
			}
		}
	}
	return err
}

// VerifyAudit reads all of this host's audit log and compares it with its copies; away names repositories that did not answer.
func (h *Host) VerifyAudit(ctx context.Context) (v audit.Verification, away []string, err error) {
	l, err := h.auditLog(ctx, "", "audit verify")
	if err != nil {
		return v, nil, err
	}
	var copies []store.Store
	for _, name := range h.Config.RepositoryNames() {
		s, err := h.openStore(ctx, name)
		if err == nil {
			_, err = audit.List(ctx, s)
		}
		if err != nil {
			away = append(away, name)
			continue
		}
		copies = append(copies, s)
	}
	v, err = l.Verify(ctx, copies...)
	return v, away, err
}

// ExportAudit writes this host's audit log.
func (h *Host) ExportAudit(ctx context.Context, w io.Writer, format audit.Format, f audit.Filter) error {
	l, err := h.auditLog(ctx, "", "audit export")
	if err != nil {
		return err
	}
	return l.Export(ctx, w, format, f)
}
