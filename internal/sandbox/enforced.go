package sandbox

import (
	"fmt"
	"strings"
)

// Enforced describes the restrictions of a child. The child verified the first three by trying.
type Enforced struct {
	// NoFiles: opening a file fails.
	NoFiles bool `json:"noFiles"`
	// NoNetwork: creating a socket of any family fails.
	NoNetwork bool `json:"noNetwork"`
	// NoPrograms: executing a program fails.
	NoPrograms bool `json:"noPrograms"`

	// Landlock is the active ABI version of Landlock, 0 for none. Version 4 and later restrict TCP.
	Landlock int `json:"landlock"`
	// Seccomp: the filter of system calls is active.
	Seccomp bool `json:"seccomp"`
	// NoNewPrivileges: PR_SET_NO_NEW_PRIVS is set.
	NoNewPrivileges bool `json:"noNewPrivileges"`
	// MemoryLimit and CPULimit: the kernel enforces the limits even if the parent cannot.
	MemoryLimit bool `json:"memoryLimit"`
	CPULimit    bool `json:"cpuLimit"`

	// Missing has a reason for each restriction that failed.
	Missing []string `json:"missing,omitempty"`
}

// Isolated reports whether the child can only compute.
func (e Enforced) Isolated() bool { return e.NoFiles && e.NoNetwork && e.NoPrograms }

func (e Enforced) String() string {
	var has, lacks []string
	for _, part := range []struct {
		name string
		on   bool
	}{
		{"no files", e.NoFiles},
		{"no network", e.NoNetwork},
		{"no programs", e.NoPrograms},
		{fmt.Sprintf("Landlock v%d", e.Landlock), e.Landlock > 0},
		{"seccomp", e.Seccomp},
		{"no new privileges", e.NoNewPrivileges},
		{"memory limit", e.MemoryLimit},
		{"CPU limit", e.CPULimit},
	} {
		if part.on {
			has = append(has, part.name)
		} else {
			lacks = append(lacks, part.name)
		}
	}
	text := "enforced: " + strings.Join(has, ", ")
	if len(has) == 0 {
		text = "nothing enforced"
	}
	if len(lacks) > 0 {
		text += "; not enforced: " + strings.Join(lacks, ", ")
	}
	if len(e.Missing) > 0 {
		text += " (" + strings.Join(e.Missing, "; ") + ")"
	}
	return text
}
