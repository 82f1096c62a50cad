package process

import "context"

// considerateKey is where a context says that nobody waits for what is done with it.
type considerateKey struct{}

// Considerate returns a context for work that others need not wait for: drills, checks, copies.
func Considerate(ctx context.Context) context.Context {
	return context.WithValue(ctx, considerateKey{}, true)
}

// YieldFor is Yield where ctx is considerate. It is called first thing by goroutines that read, compute or write for long.
func YieldFor(ctx context.Context) {
	if ctx.Value(considerateKey{}) != nil {
		Yield()
	}
}

// Aside does work on a goroutine that yields, with a considerate context, and waits for it. Programs that do starts from there yield too.
func Aside(ctx context.Context, do func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		Yield()
		done <- do(Considerate(ctx))
	}()
	return <-done
}
