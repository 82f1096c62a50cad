package member

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// rewind takes back what parted, from the primary's data. Files of the data directory that are a server's own are the primary's
// afterwards, so they are put back.
func (s *Server) rewind(ctx context.Context, member string, up *upstream, fork history.Position) error {
	p, err := s.programs()
	if err != nil {
		return err
	}
	own, err := s.keepOwn()
	if err != nil {
		return err
	}
	// The server syncs all its files when it starts after a rewind, so that doing it twice is left out.
	size, err := segmentSize(s.c.Dir)
	if err != nil {
		return err
	}
	v, conninfo, err := s.openSieve(member, wal.LSN(fork.Seq), size)
	if err != nil {
		return err
	}
	sieving := make(chan struct{})
	go func() {
		defer close(sieving)
		v.serve(ctx)
	}()
	defer func() {
		v.close()
		<-sieving
	}()
	arguments := []string{"--no-sync", "--target-pgdata=" + s.c.Dir, "--source-server=" + conninfo}
	if s.c.Restore != "" && p.Major >= 13 {
		if err := s.write(map[string]string{"restore_command": s.c.Restore}); err != nil {
			return err
		}
		arguments = append(arguments, "--restore-target-wal")
		if file := s.configFile(); file != "" && p.Major >= 14 {
			arguments = append(arguments, "--config-file="+file)
		}
	}
	begun := time.Now()
	log := s.fetchAhead(ctx, member, up, size)
	out, err := combined(ctx, p.Command(s.user, "pg_rewind", arguments...))
	taken, lerr := log.end(err == nil)
	if err != nil {
		return fmt.Errorf("rewind: %w: %s", err, tail(out))
	}
	if lerr != nil {
		return fmt.Errorf("rewind: hand over log: %w", lerr)
	}
	s.say("%s was rewound in %s; of %d segments of log behind the fork %d were fetched meanwhile, the rest is left to be streamed", s.c.Name, time.Since(begun).Round(time.Millisecond), v.left, taken)
	return s.giveBack(own)
}

// hurry asks a new primary for the checkpoint that a rewind reads its timeline from. It began one when it was promoted, which may take its time;
// where we have no right to hurry it, that one is waited for by trying again.
func (s *Server) hurry(ctx context.Context, member string) {
	conf, err := pgconn.ParseConfig(s.c.Members[member] + " dbname=postgres")
	if err != nil {
		return
	}
	conn, err := pgconn.ConnectConfig(ctx, conf)
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := query(ctx, conn, "checkpoint"); err != nil {
		s.say("%s can't ask %s for a checkpoint before it is rewound: %v", s.c.Name, member, plain(err))
	}
}

// configFile is where the server's settings are when that is not in the data directory.
func (s *Server) configFile() string {
	arguments, err := s.arguments()
	if err != nil {
		return ""
	}
	for _, a := range arguments {
		if file, ok := strings.CutPrefix(a, "config_file="); ok {
			return file
		}
	}
	return ""
}

func segmentSize(dir string) (uint64, error) {
	r, err := openLog(dir)
	if err != nil {
		return 0, err
	}
	defer r.close()
	return r.size, nil
}

// own are files of the data directory that belong to this server, not to its data.
type own map[string][]byte

// keepOwn reads them: settings, access rules, keys and certificates, which lie at the top. They are put aside, where they outlive whatever ends the
// rewind or the copy: from then on those in the data directory may be the primary's.
func (s *Server) keepOwn() (own, error) {
	if files, err := readOwn(s.aside("own")); err == nil && len(files) > 0 {
		return files, nil // a try before this one broke off
	} else if err != nil {
		return nil, err
	}
	files, err := readOwn(s.c.Dir)
	if err != nil {
		return nil, err
	}
	begun := s.aside("own.new")
	if err := os.RemoveAll(begun); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(begun, 0o700); err != nil {
		return nil, err
	}
	for name, b := range files {
		if err := atomicfile.Write(filepath.Join(begun, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(begun, s.aside("own")); err != nil { // all of them or none
		return nil, err
	}
	return files, atomicfile.SyncDir(s.c.Aside)
}

func readOwn(dir string) (own, error) {
	files := own{}
	for _, pattern := range []string{"*.conf", "*.key", "*.crt", "*.pem"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			info, err := os.Lstat(name)
			if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
				continue
			}
			if files[filepath.Base(name)], err = os.ReadFile(name); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// giveBack writes them as they were.
func (s *Server) giveBack(files own) error {
	for name, b := range files {
		if err := s.put(s.path(name), b); err != nil {
			return err
		}
	}
	return os.RemoveAll(s.aside("own"))
}

// saveTail copies the log from the segment of a fork on, up to its end, into a folder of its own, and makes it durable. It returns the folder.
func (s *Server) saveTail(fork, end history.Position) (dir string, err error) {
	r, err := openLog(s.c.Dir)
	if err != nil {
		return "", err
	}
	defer r.close()
	dir = s.aside(fmt.Sprintf("tail-%s-timeline-%d-from-%016X", time.Now().UTC().Format("20060102T150405Z"), end.Timeline, fork.Seq))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	unknown := fork.Seq == 0
	if unknown { // it is not known what the two share: the segment of the newest checkpoint and what follows is all that can be told apart
		fork.Seq = end.Seq
	}
	entries, err := fs.ReadDir(r.dir, "pg_wal")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		timeline, start, err := wal.ParseSegmentName(e.Name(), r.size)
		if err != nil || timeline > end.Timeline || start < wal.LSN(fork.Seq).SegmentStart(r.size) || start >= wal.LSN(end.Seq) {
			continue
		}
		if err := save(r.dir, "pg_wal/"+e.Name(), filepath.Join(dir, e.Name())); err != nil {
			return "", fmt.Errorf("save log that parted: %w", err)
		}
	}
	note := fmt.Sprintf("Log that no member of the cluster has any more: from %[1]s to %[2]s of timeline %[3]d. What it did, record by record:\n\n"+
		"pg_waldump -p %[4]s -t %[3]d -s %[1]s -e %[2]s\n", fork.Mark, end.Mark, end.Timeline, dir)
	if unknown {
		note = fmt.Sprintf("The end of a log, up to %s of timeline %d, of which it is not known how much other members have.\n"+
			"pg_waldump and the name of a segment shows what it did, record by record.\n", end.Mark, end.Timeline)
	}
	if err := atomicfile.Write(filepath.Join(dir, "README"), []byte(note), 0o600); err != nil {
		return "", err
	}
	return dir, atomicfile.SyncDir(filepath.Dir(dir))
}

func save(from fs.FS, name, to string) error {
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}
