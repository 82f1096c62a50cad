package redis

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// longest is how long an answer may be that is read: INFO's sections have some KB.
const longest = 1 << 20

var errAnswer = errors.New("read an answer: it is not as the protocol has it")

// ServerError is a refusal of the server.
type ServerError struct{ Text string }

func (e *ServerError) Error() string { return "the server says: " + e.Text }

// ask sends a command and reads its one answer, a string.
func (c *conn) ask(ctx context.Context, words ...string) (string, error) {
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := c.Write(b.Bytes()); err != nil {
		return "", cause(ctx, err)
	}
	text, err := answer(c.in)
	return text, cause(ctx, err)
}

// cause is why a call ended: that ctx did says more than the deadline that it set.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// answer reads a simple string, a bulk string, or an error.
func answer(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errAnswer
	}
	if err != nil {
		return "", err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return "", errAnswer
	}
	body := string(line[1 : len(line)-2])
	switch line[0] {
	case '+':
		return body, nil
	case '-':
		return "", &ServerError{Text: body}
	case '$', '=':
		n, err := strconv.Atoi(body)
		if err != nil || n < 0 || n > longest {
			return "", errAnswer
		}
		text := make([]byte, n+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return "", err
		}
		if string(text[n:]) != "\r\n" {
			return "", errAnswer
		}
		return string(text[:n]), nil
	}
	return "", errAnswer
}
