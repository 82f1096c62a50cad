package archive

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/test/bench/sqlite/shop"
)

// benchRate is how many commits a second the writer makes.
const benchRate = 2500

// BenchmarkCapture is what one commit costs from the WAL to the repository, while another process makes them at a
// steady rate: processor time of this process, and how long it took to be durable.
//
//	go test -run - -bench Capture -benchtime 20000x ./internal/archive
func BenchmarkCapture(b *testing.B) {
	dir := b.TempDir()
	file := filepath.Join(dir, "app.db")
	if err := shop.Create(b.Context(), file, 8<<20, 1); err != nil {
		b.Fatal(err)
	}
	reader, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	signer, err := ledger.NewSigner("host")
	if err != nil {
		b.Fatal(err)
	}
	s := mustLocal(b, filepath.Join(dir, "store"))
	repo, err := repository.Create(b.Context(), s, repository.CreateOptions{Source: "app", Engine: "sqlite", Signer: signer,
		Readers: []repository.Reader{{Name: "r", Recipient: reader.Recipient().String()}}})
	if err != nil {
		b.Fatal(err)
	}
	e := sqlite.Engine{}
	a, err := New(Config{Source: "app", Engine: e, Dir: filepath.Join(dir, "spool"),
		Repos: []Repo{{Name: "local", Open: func(context.Context) (*repository.Repository, error) { return repo, nil }}},
		Connect: func(ctx context.Context) (engine.Source, error) {
			return e.Connect(ctx, "sqlite:"+file, engine.Options{Name: "app", StateDir: filepath.Join(dir, "engine"), Log: slog.New(slog.DiscardHandler), Now: time.Now})
		}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	waitFor(b, func() bool { return len(a.Status().Repositories) > 0 && a.Status().Repositories[0].Bases > 0 })
	began := a.Status().Position.Seq
	before := cpuTime()
	b.ResetTimer()
	writer := exec.Command(os.Args[0])
	writer.Env = append(os.Environ(), "ARCHIVE_BENCH_WRITER="+file, "ARCHIVE_BENCH_COMMITS="+strconv.Itoa(b.N))
	if out, err := writer.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	waitFor(b, func() bool { return a.Status().Repositories[0].Position.Seq >= began+uint64(b.N) })
	b.StopTimer()
	lag := a.Status().Repositories[0].Durable
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	used := cpuTime() - before
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(lag.P50.Milliseconds()), "p50-ms")
	b.ReportMetric(float64(lag.P99.Milliseconds()), "p99-ms")
}

func waitFor(b *testing.B, ok func() bool) {
	b.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatal("waited a minute")
}

// benchWriter is the application, in a process of its own.
func benchWriter(ctx context.Context, file string, commits int) error {
	till, err := shop.OpenTill(ctx, file, 1)
	if err != nil {
		return err
	}
	defer till.Close()
	begin := time.Now()
	for n := range commits {
		time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / benchRate)))
		if _, _, _, err := till.Sell(ctx); err != nil {
			return err
		}
	}
	return nil
}

// benchMain is the writer where the process was started as one.
func benchMain() bool {
	file := os.Getenv("ARCHIVE_BENCH_WRITER")
	if file == "" {
		return false
	}
	n, err := strconv.Atoi(os.Getenv("ARCHIVE_BENCH_COMMITS"))
	if err == nil {
		err = benchWriter(context.Background(), file, n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}
