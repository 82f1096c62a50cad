package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// pgBackRest is the peer, with its fastest compression that is as strong as ours, bundles, two processes and its cipher on.
type pgBackRest struct {
	b      *bench
	dir    string
	config string
	repo   string
}

func newPgBackRest(b *bench) (*pgBackRest, error) {
	if _, err := exec.LookPath("pgbackrest"); err != nil {
		return nil, errors.New("no pgbackrest: install the package pgbackrest, or give -only backstay")
	}
	dir, err := b.folder("pgbackrest")
	if err != nil {
		return nil, err
	}
	p := &pgBackRest{b: b, dir: dir, config: filepath.Join(dir, "pgbackrest.conf"), repo: filepath.Join(dir, "repo")}
	return p, os.WriteFile(p.config, nil, 0o644)
}

// archiveCommand is what the server runs for each segment.
func (p *pgBackRest) archiveCommand() string {
	return fmt.Sprintf("pgbackrest --config=%s --stanza=bench archive-push %%p", p.config)
}

// configure names the server and makes an empty repository.
func (p *pgBackRest) configure(d *database) error {
	text := fmt.Sprintf(`[global]
repo1-path=%[1]s/repo
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=benchmark
repo1-bundle=y
compress-type=zst
compress-level=1
process-max=2
start-fast=y
log-level-file=off
log-level-console=warn
lock-path=%[1]s/lock
spool-path=%[1]s/spool
[bench]
pg1-path=%[2]s
pg1-socket-path=%[3]s
pg1-port=5432
pg1-user=%[4]s
`, p.dir, d.dir, d.socket, role)
	if err := os.WriteFile(p.config, []byte(text), 0o644); err != nil {
		return err
	}
	return p.empty()
}

// empty replaces the repository by an empty one.
func (p *pgBackRest) empty() error {
	if err := os.RemoveAll(p.repo); err != nil {
		return err
	}
	_, err := p.run("stanza-create")
	return err
}

func (p *pgBackRest) run(arguments ...string) (measure.Usage, error) {
	return p.b.run(p.dir, "pgbackrest", append([]string{"--config=" + p.config, "--stanza=bench"}, arguments...)...)
}

func (p *pgBackRest) String() string { return "pgBackRest" }

// base takes a full one into an empty repository and gives the size of what it stored.
func (p *pgBackRest) base(context.Context) (u measure.Usage, size int64, err error) {
	if err := p.empty(); err != nil {
		return u, 0, err
	}
	if u, err = p.run("--type=full", "backup"); err != nil {
		return u, 0, err
	}
	size, err = measure.FolderSize(filepath.Join(p.repo, "backup"))
	return u, size, err
}

// restore lays the newest base into dir. No server is started by it.
func (p *pgBackRest) restore(_ context.Context, dir string) (measure.Usage, error) {
	return p.run("--pg1-path="+dir, "restore")
}
