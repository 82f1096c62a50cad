// Package process sets how this process shares the machine with the programs beside it, its threads and its memory, and runs
// programs of which nothing stays behind.
package process
