package process

import (
	"errors"
	"os/exec"

	"golang.org/x/sys/windows"
)

// member is a started child in a job of its own: what it starts is in the job too.
type member struct {
	job windows.Handle
	cmd *exec.Cmd
}

func join(cmd *exec.Cmd) (*member, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, windows.CloseHandle(job))
	}
	m := &member{job, cmd}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(cmd.Process.Pid))
	if err == nil {
		// A child that has ended already, or whose job takes no other, is ended alone.
		_ = windows.AssignProcessToJobObject(job, process)
		_ = windows.CloseHandle(process)
	}
	return m, nil
}

func onOneThread() func() { return func() {} }

func (m *member) finish(cmd *exec.Cmd) error {
	err := cmd.Wait()
	m.kill()
	return err
}

func (m *member) terminate() {} // there is no such word here

func (m *member) kill() {
	_ = windows.TerminateJobObject(m.job, 1) // none may be left
	_ = m.cmd.Process.Kill()
}

func (m *member) close() { _ = windows.CloseHandle(m.job) }

// EndMarked does nothing: a job is not left.
func EndMarked(string) {}
