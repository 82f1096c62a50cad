package watch

import "context"

// jobKey is where a context keeps the name of the run that it is of.
type jobKey struct{}

// WithJob names the run that what is done with the context is of.
func WithJob(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, jobKey{}, id)
}

// JobOf names the run that ctx is of, as the list of runs and the audit log do; "" outside of one.
func JobOf(ctx context.Context) string {
	id, _ := ctx.Value(jobKey{}).(string)
	return id
}
