// Package process sets how the threads of this process share the machine with the programs beside it.
package process
