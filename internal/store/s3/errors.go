package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// answerError is a request that the provider refused.
type answerError struct {
	status  int    // of HTTP
	code    string // of S3; empty where the answer had none
	message string
	is      error // fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, or nil
}

func (e *answerError) Error() string {
	switch {
	case e.code == "":
		return fmt.Sprintf("provider answers %d %s", e.status, http.StatusText(e.status))
	case e.message == "":
		return fmt.Sprintf("provider answers %d %s", e.status, e.code)
	}
	return fmt.Sprintf("provider answers %d %s: %s", e.status, e.code, e.message)
}

func (e *answerError) Unwrap() error { return e.is }

// Retryable tells whether the same request may succeed later.
func (e *answerError) Retryable() bool {
	switch e.code {
	case "RequestTimeout", "IncompleteBody", "BadDigest", "SlowDown", "ConditionalRequestConflict", "OperationAborted":
		return true
	}
	return e.status >= 500 && e.status != http.StatusNotImplemented || e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout
}

// hints are what a person can do about a refusal, by its code.
var hints = map[string]string{
	"NoSuchBucket":          "create the bucket first; Backstay makes none",
	"AccessDenied":          "the credentials must allow to list the bucket and to get, put and delete objects below the prefix",
	"InvalidAccessKeyId":    "check AWS_ACCESS_KEY_ID, or the section that ?profile= names",
	"SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY, and the region",
	"RequestTimeTooSkewed":  "this host's clock is wrong: S3 takes no request that is signed 15 minutes off",
	"PermanentRedirect":     "the bucket is in another region: give ?region=",
	"MovedPermanently":      "the bucket is in another region: give ?region=",
	"ExpiredToken":          "renew the session credentials",
}

func (e *answerError) Hint() string {
	if h, ok := hints[e.code]; ok {
		return h
	}
	if e.status == http.StatusMovedPermanently {
		return hints["MovedPermanently"]
	}
	return "ask the provider's status page or log; the request itself was well-formed"
}

// sentinel maps an answer to what package store promises.
func sentinel(status int, code string) error {
	switch {
	case code == "NoSuchBucket" || code == "NoSuchUpload":
		return nil
	case code == "NoSuchKey" || status == http.StatusNotFound && (code == "" || code == "NotFound"):
		return fs.ErrNotExist
	case status == http.StatusPreconditionFailed:
		return fs.ErrExist
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fs.ErrPermission
	}
	return nil
}

// explain turns an error of the SDK into one of ours: short, without headers, and errors.Is decides.
func explain(ctx context.Context, err error, bound time.Duration) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", bound.Round(time.Second), context.DeadlineExceeded)
	}
	answer := &answerError{}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		answer.status = r.HTTPStatusCode()
	}
	if a, ok := errors.AsType[smithy.APIError](err); ok {
		answer.code, answer.message = a.ErrorCode(), a.ErrorMessage()
		if answer.code == "UnknownError" {
			answer.code, answer.message = "", ""
		}
	}
	if answer.status >= 300 {
		answer.is = sentinel(answer.status, answer.code)
		return answer
	}
	if sent, ok := errors.AsType[*url.Error](err); ok {
		err = sent.Err
	} else if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		err = op.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("connection broke: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// code returns the provider's code of an explained error, or "".
func code(err error) string {
	if a, ok := errors.AsType[*answerError](err); ok {
		return a.code
	}
	return ""
}

func status(err error) int {
	if a, ok := errors.AsType[*answerError](err); ok {
		return a.status
	}
	return 0
}

// configError is an AWS configuration that cannot be read.
type configError struct{ err error }

func (e *configError) Error() string { return "read AWS configuration: " + e.err.Error() }
func (e *configError) Unwrap() error { return e.err }
func (e *configError) Hint() string {
	return "check AWS_PROFILE, ?profile= and the files ~/.aws/config and ~/.aws/credentials"
}

// Retryable is false: the files do not change by themselves.
func (e *configError) Retryable() bool { return false }
