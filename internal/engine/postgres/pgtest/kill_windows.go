package pgtest

import "fmt"

// Kill is Crash without a test that fails. The processes of the server notice the end of the first one.
func (c *Cluster) Kill() error {
	if !c.Running() {
		return fmt.Errorf("the server in %s does not run", c.Dir)
	}
	return c.server.Kill()
}
