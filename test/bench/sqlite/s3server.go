package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// s3server is a real S3 server on loopback that keeps its objects as files, so that what stands in a bucket can be
// seen in its folder without asking it.
type s3server struct {
	p       *measure.Process
	address string
	folder  string // of the bucket
}

const (
	bucket    = "bench"
	accessKey = "bench-access"
	secretKey = "bench-secret-of-a-throwaway-server"
)

// startS3 finds versitygw and starts it on a free port with one empty bucket.
func (b *bench) startS3(ctx context.Context) (*s3server, error) {
	program, err := b.findS3()
	if err != nil {
		return nil, err
	}
	dir, err := b.folder("s3")
	if err != nil {
		return nil, err
	}
	s := &s3server{folder: filepath.Join(dir, bucket)}
	if err := os.Mkdir(s.folder, 0o755); err != nil {
		return nil, err
	}
	if s.address, err = freeAddress(); err != nil {
		return nil, err
	}
	env := []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey}
	if s.p, err = b.start(ctx, dir, env, program, "--port", s.address, "--quiet", "posix", dir); err != nil {
		return nil, err
	}
	err = until(ctx, s.p, 10*time.Second, "answer at "+s.address, func() (bool, error) {
		c, err := net.DialTimeout("tcp", s.address, time.Second)
		if err != nil {
			return false, nil
		}
		return true, c.Close()
	})
	if err != nil {
		_, stopped := s.p.Stop()
		return nil, errors.Join(err, stopped)
	}
	return s, nil
}

func (b *bench) findS3() (string, error) {
	if b.versitygw != "" {
		return b.versitygw, nil
	}
	cached := filepath.Join(b.root, ".cache", "bin", "versitygw")
	if _, err := os.Stat(cached); err == nil {
		return cached, nil
	}
	path, err := exec.LookPath("versitygw")
	if err != nil {
		return "", errors.New("no S3 server: run \"make test\" once, which installs versitygw in .cache/bin, or give -versitygw, or leave S3 out with -only folder")
	}
	return path, nil
}

// freeAddress is a port on loopback that was free a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// env lets a client in. A bundle of certificates that the surroundings name is put aside: the server speaks plain
// HTTP, and Litestream does not start with one.
func (s *s3server) env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_REGION=us-east-1", "AWS_CA_BUNDLE="}
}

// url is that of a prefix in the bucket, as both systems write it.
func (s *s3server) url(prefix string) string {
	return "s3://" + bucket + "/" + prefix + "?endpoint=http://" + s.address + "&region=us-east-1"
}
