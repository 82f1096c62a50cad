package ha

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/test/ha/lab"
)

// member is a PostgreSQL server on a host, whose agent starts and stops it.
type member struct {
	t        testing.TB
	name     string
	host     *lab.Host
	dir      string
	config   string // folder of its configuration: a rewind brings that of another server into dir
	sockets  string
	programs server.Programs
	user     server.User
	pass     string // file with the password of role backstay
	tls      bool   // others reach it with
}

func (m *member) sslmode() string {
	if m.tls {
		return "require"
	}
	return "disable"
}

// passfile has the password of role backstay, for the servers' user.
func passfile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(pgtest.Folder(t), "pgpass")
	if err := os.WriteFile(file, []byte("*:*:*:backstay:"+pgtest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pgtest.Owner(t).Give(file); err != nil {
		t.Fatal(err)
	}
	return file
}

const memberPort = 5432

// megabytes of each server's disk: it keeps a segment of its own log for each change of the primary, of which hundreds fit into wal_keep_size.
func megabytes() int { return 700 + 32*max(0, rounds(nemesis{goal: missing})-10) }

// memberSettings are those of a small server. Synced writes are on, as hosts are killed here.
const memberSettings = `
data_directory = '%s'
hba_file = '%s/pg_hba.conf'
ident_file = '%[2]s/pg_ident.conf'
listen_addresses = '*'
port = %[3]d
unix_socket_directories = '%[4]s'
shared_buffers = 16MB
max_connections = 60
wal_level = replica
wal_log_hints = on
hot_standby = on
max_wal_senders = 10
max_replication_slots = 10
wal_keep_size = 256MB
wal_retrieve_retry_interval = 100ms
wal_receiver_timeout = 2s
wal_sender_timeout = 2s
password_encryption = scram-sha-256
lc_messages = C
cluster_name = '%[5]s'
`

const memberHBA = `local all all trust
local replication all trust
host all backstay 10.77.0.0/24 scram-sha-256
host replication backstay 10.77.0.0/24 scram-sha-256
host all app 10.77.0.0/24 scram-sha-256
`

// newMember has a folder for its data, on a disk of its own if there is one.
func newMember(t testing.TB, name string, host *lab.Host, disk *lab.Disk) *member {
	t.Helper()
	m := &member{t: t, name: name, host: host, dir: pgtest.Folder(t), config: pgtest.Folder(t), sockets: pgtest.Folder(t), programs: pgtest.Programs(t, pgtest.Default), user: pgtest.Owner(t)}
	if disk != nil {
		m.dir = filepath.Join(disk.Path, "data")
		if err := os.Mkdir(m.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		m.give(m.dir)
	}
	return m
}

func (m *member) give(path string) {
	m.t.Helper()
	if err := m.user.Give(path); err != nil {
		m.t.Fatal(err)
	}
}

// run runs one of the server's programs on its host, as its user.
func (m *member) run(program string, arguments ...string) string {
	m.t.Helper()
	out, err := m.try(program, arguments...)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

func (m *member) try(program string, arguments ...string) (string, error) {
	m.t.Helper()
	cmd := m.programs.Command(m.user, program, arguments...)
	log, err := os.CreateTemp(m.t.TempDir(), program)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log // a pipe would be held open by the server that pg_ctl leaves running
	p, err := m.host.Start(program, cmd)
	if err != nil {
		m.t.Fatal(err)
	}
	p.Wait()
	out, err := os.ReadFile(log.Name())
	if err != nil || p.Code() != 0 {
		return "", fmt.Errorf("%s %s on %s: exit code %d, %v\n%s", program, strings.Join(arguments, " "), m.host.Name, p.Code(), err, out)
	}
	return string(out), nil
}

// primary makes its data and starts it.
func (m *member) primary() {
	m.t.Helper()
	m.run("initdb", "-D", m.dir, "-U", pgtest.Admin, "-N", "-E", "UTF8", "--locale=C", "-A", "trust")
	m.configure()
	m.start()
}

// standby copies the primary and follows it.
func (m *member) standby(of *member) {
	m.t.Helper()
	m.run("pg_basebackup", "-D", m.dir, "-d", fmt.Sprintf("host=%s port=%d user=backstay passfile=%s sslmode=%s application_name=%s", of.host.IP, memberPort, m.pass, m.sslmode(), m.name), "-c", "fast", "-X", "stream", "-R")
	m.configure()
	m.start()
}

// configure writes its configuration, where distributions have it: outside of the data.
func (m *member) configure() {
	m.t.Helper()
	settings, hba := fmt.Sprintf(memberSettings, m.dir, m.config, memberPort, m.sockets, m.name), memberHBA
	if m.tls {
		settings, hba = settings+m.certify(), strings.ReplaceAll(hba, "host ", "hostssl ")
	}
	for name, text := range map[string]string{"postgresql.conf": settings, "pg_hba.conf": hba, "pg_ident.conf": ""} {
		if err := os.WriteFile(filepath.Join(m.config, name), []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
	m.give(m.config)
}

func (m *member) start() {
	m.t.Helper()
	m.run("pg_ctl", "-D", m.dir, "-w", "-l", filepath.Join(m.config, "server.log"), "-o", "-c config_file="+filepath.Join(m.config, "postgresql.conf"), "start")
}

// sql runs statements as superuser through the socket.
func (m *member) sql(statements string) string {
	m.t.Helper()
	out, err := m.ask(statements)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// ask is sql of a server that may be stopped at any moment.
func (m *member) ask(statements string) (string, error) {
	m.t.Helper()
	out, err := m.try("psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-h", m.sockets, "-p", strconv.Itoa(memberPort), "-U", pgtest.Admin, "-d", "postgres", "-c", statements)
	return strings.TrimSpace(out), err
}

// postmaster is the process of the server, 0 if it does not run.
func (m *member) postmaster() int {
	b, err := os.ReadFile(filepath.Join(m.dir, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

// crash is kill -9 of all processes of the server, and of nothing else on its host.
func (m *member) crash() {
	m.t.Helper()
	pid := m.postmaster()
	if pid == 0 {
		m.t.Errorf("the server of %s does not run", m.name)
		return
	}
	_ = syscall.Kill(pid, syscall.SIGSTOP) // it starts no other one meanwhile
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	for _, child := range strings.Fields(string(out)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended
		}
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
}

// tail is the end of the server's log.
func (m *member) tail() string {
	b, err := os.ReadFile(filepath.Join(m.config, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-3000):])
}
