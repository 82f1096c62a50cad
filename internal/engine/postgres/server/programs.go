package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// BinVariable names the environment variable that lists folders of programs to look into first, as PATH does.
const BinVariable = "BACKSTAY_PG_BIN"

// Programs are those of one installed version.
type Programs struct {
	Dir     string // where they are
	Major   int    // 15
	Version string // "15.18", for people

	libraries string // folder of libraries that this build brings along and would not find by itself
}

// MissingError says that no server of a major version is installed.
type MissingError struct {
	Major int
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("find the programs of PostgreSQL %d: not installed on this host", e.Major)
}

// Hint is a command that installs them, or the variable that tells where they are.
func (e *MissingError) Hint() string {
	return fmt.Sprintf("apt-get install postgresql-%d, or set %s to the folder with its postgres", e.Major, BinVariable)
}

// Find finds the programs of a major version: in BACKSTAY_PG_BIN, where packages of the common systems put them, and in
// PATH. The error is a *MissingError.
func Find(major int) (Programs, error) {
	for _, dir := range places(major) {
		if p, err := Open(dir); err == nil && p.Major == major {
			return p, nil
		}
	}
	return Programs{}, &MissingError{Major: major}
}

// places are the folders to look into, in order.
func places(major int) []string {
	n := strconv.Itoa(major)
	dirs := filepath.SplitList(os.Getenv(BinVariable))
	switch runtime.GOOS {
	case "windows":
		dirs = append(dirs, filepath.Join(os.Getenv("ProgramFiles"), "PostgreSQL", n, "bin"))
	case "darwin":
		dirs = append(dirs, "/opt/homebrew/opt/postgresql@"+n+"/bin", "/usr/local/opt/postgresql@"+n+"/bin",
			"/Applications/Postgres.app/Contents/Versions/"+n+"/bin", "/Library/PostgreSQL/"+n+"/bin")
	default:
		dirs = append(dirs, "/usr/lib/postgresql/"+n+"/bin", "/usr/pgsql-"+n+"/bin", "/usr/lib/postgresql"+n+"/bin", "/usr/local/pgsql/bin")
	}
	return append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
}

// version reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "17beta2" and "18devel".
var version = regexp.MustCompile(`^postgres \(PostgreSQL\) ((\d+)\S*)`)

// Open says what the postgres in dir is.
func Open(dir string) (Programs, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Programs{}, err
	}
	if _, err := os.Stat(program(dir, "postgres")); err != nil {
		return Programs{}, err
	}
	p := Programs{Dir: dir, libraries: librariesOf(dir)}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(dir, "postgres"), "--version")
	cmd.Env = p.environment(User{})
	out, err := cmd.Output()
	if err != nil {
		return Programs{}, fmt.Errorf("ask %s for its version: %w", cmd.Path, err)
	}
	m := version.FindStringSubmatch(string(out))
	if m == nil {
		return Programs{}, fmt.Errorf("ask %s for its version: it says %.80q", cmd.Path, out)
	}
	p.Version = m[1]
	if p.Major, err = strconv.Atoi(m[2]); err != nil {
		return Programs{}, err
	}
	return p, nil
}

// Has says whether a program is among them: builds for tests come without pg_verifybackup and others.
func (p Programs) Has(name string) bool {
	_, err := os.Stat(program(p.Dir, name))
	return err == nil
}

// Command is one of the programs, to run as u, with nothing of our environment that could be a secret.
func (p Programs) Command(u User, name string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(program(p.Dir, name), arguments...)
	cmd.Env = p.environment(u)
	cmd.Dir = os.TempDir()
	if filepath.Separator == '/' {
		cmd.Dir = "/" // our own folder may be closed to u
	}
	u.Apply(cmd)
	return cmd
}

// handed are the variables that a server gets from us; those that begin with LC_ too. PGDATA and its like are not
// among them, nor is anything that may hold a password.
var handed = []string{"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SystemRoot", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "PATHEXT", "COMSPEC"}

func (p Programs) environment(u User) []string {
	var env []string
	for _, name := range handed {
		if v, ok := os.LookupEnv(name); ok && (name != "LD_LIBRARY_PATH" || p.libraries == "") {
			env = append(env, name+"="+v)
		}
	}
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "LC_") {
			env = append(env, e)
		}
	}
	if p.libraries != "" {
		env = append(env, "LD_LIBRARY_PATH="+p.libraries)
	}
	if u.Name != "" {
		env = append(env, "HOME="+u.home, "USER="+u.Name, "LOGNAME="+u.Name)
	}
	return env
}

// librariesOf finds the libraries of a build that was unpacked somewhere: they lie in ../lib, where the loader looks only
// if it is told to. Packages of a system need no telling.
func librariesOf(dir string) string {
	lib := filepath.Join(filepath.Dir(dir), "lib")
	if found, _ := filepath.Glob(filepath.Join(lib, "libicu*.so*")); len(found) == 0 {
		return ""
	}
	return lib
}

func program(dir, name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(dir, name)
}
