package postgres

// takeOver does nothing: there is no root whose files a server would refuse.
func takeOver(string) error { return nil }
