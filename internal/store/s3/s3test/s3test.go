// Package s3test starts a real S3 server, versitygw, for tests: in a directory and on a port of its own, ended with
// the test.
package s3test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/backstaydb/backstay/internal/freeport"
)

const (
	access = "backstay-test"
	secret = "not-a-secret-but-long-enough"
	region = "us-east-1"
)

// Server is a running server.
type Server struct {
	Endpoint string // "http://127.0.0.1:PORT"

	run   []string // the program and its arguments
	log   *os.File
	cmd   *exec.Cmd // nil while it is stopped
	ended chan error
}

// Start starts a server, or skips the test with the reason. Where the servers must be there (CI=true or
// BACKSTAY_NEED_SERVERS=1) their absence is a failure.
func Start(t testing.TB) *Server {
	t.Helper()
	binary, err := find()
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("BACKSTAY_NEED_SERVERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	data, versions := filepath.Join(dir, "data"), filepath.Join(dir, "versions")
	for _, d := range []string{data, versions} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	address := freeport.Address(t)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Endpoint: "http://" + address, log: log, run: []string{binary, "--access", access, "--secret", secret, "--region", region, "--port", address,
		"--quiet", "--keep-alive", "posix", "--versioning-dir", versions, data}}
	t.Cleanup(func() {
		s.Stop()
		_ = log.Close()
		if t.Failed() {
			if text, err := os.ReadFile(log.Name()); err == nil && len(text) > 0 {
				t.Logf("server log:\n%s", text)
			}
		}
	})
	s.Again(t)
	return s
}

// Stop kills the server. What it holds stays.
func (s *Server) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		<-s.ended
		s.cmd = nil
	}
}

// Again starts a stopped server at the same address, with what it held.
func (s *Server) Again(t testing.TB) {
	t.Helper()
	cmd, ended := exec.Command(s.run[0], s.run[1:]...), make(chan error, 1)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- cmd.Wait() }()
	s.cmd, s.ended = cmd, ended
	s.await(t, ended)
}

// SetEnv gives this process, and those it starts, the server's credentials until the test ends.
func (s *Server) SetEnv(t testing.TB) {
	t.Helper()
	for name, value := range s.environ() {
		t.Setenv(name, value)
	}
}

// Environ returns the server's credentials as NAME=value, for a process to start.
func (s *Server) Environ() []string {
	var list []string
	for name, value := range s.environ() {
		list = append(list, name+"="+value)
	}
	return list
}

func (s *Server) environ() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": region,
		// A person's own configuration must not reach into a test.
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "",
		"AWS_EC2_METADATA_DISABLED": "true",
	}
}

// Bucket makes a bucket, with object lock or without, and returns its store URL.
func (s *Server) Bucket(t testing.TB, name string, lock bool) string {
	t.Helper()
	_, err := s.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: &lock})
	if err != nil {
		t.Fatalf("create bucket: %v", err)
	}
	return "s3://" + name + "?" + url.Values{"endpoint": {s.Endpoint}, "region": {region}}.Encode()
}

// Client returns a client of the server, for what a store does not do.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.Endpoint, Region: region, UsePathStyle: true,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(access, secret, "")),
	})
}

func (s *Server) await(t testing.TB, ended <-chan error) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		cancel()
		if err == nil {
			_ = answer.Body.Close()
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("server ended while starting: %v", err)
		case <-deadline:
			t.Fatalf("server does not answer: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// find looks for the binary where BACKSTAY_VERSITYGW says, on PATH, and where "make test" puts it.
func find() (string, error) {
	if path := os.Getenv("BACKSTAY_VERSITYGW"); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		if path := filepath.Join(dir, ".cache", "bin", "versitygw"); isFile(path) {
			return path, nil
		}
		break
	}
	return "", fmt.Errorf("no versitygw: not in BACKSTAY_VERSITYGW, on PATH, or in .cache/bin; \"make tools\" builds it")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
