// Package enginetest is the suite that every engine passes, and the in-memory sinks with which an engine can be tested
// without a repository: Sink takes a base, Recorder takes the log and checks each piece against the contract. Logs are of
// two kinds: files that are a commit each, and streams of bytes with marks in them (Harness.Bytes).
package enginetest
