package engine

import "context"

// Asker is implemented by servers that answer questions of the owner of the data, beyond what Verify asks. It is used after
// Verify, and what Reach gives is used last: who has it may change the data.
type Asker interface {
	Server
	// Reach says how a client of this host reaches database, which is where the owner's questions go; "" means the one that is
	// plainly meant: the only one that somebody made. The error says what to choose from.
	Reach(ctx context.Context, database string) (dsn string, err error)
	// Ask has query, which may change nothing, answered by database, as Reach means it. A *QueryError is the server's own
	// refusal; any other error is of the environment, or of ctx.
	Ask(ctx context.Context, database, query string) (Answer, error)
}

// Answer is what one query gave.
type Answer struct {
	Columns int    // of the answer
	Rows    int    // two stands for two and more
	Value   string // of the first column in the first row, as the server writes it; booleans are true and false
	Null    bool   // there is a row, and it says nothing
}

// QueryError is a server that refuses a query: it has no such table, finds the query wrong, or finds what it reads damaged.
type QueryError struct{ Text string }

func (e *QueryError) Error() string { return e.Text }
