package sandbox

import (
	"fmt"
	"strings"
)

// Enforced is what keeps a child in. The child tried each of the first three after it had locked itself in.
type Enforced struct {
	// NoFiles: opening a file is refused.
	NoFiles bool `json:"noFiles"`
	// NoNetwork: making a socket is refused, of whatever family.
	NoNetwork bool `json:"noNetwork"`
	// NoPrograms: executing a program is refused.
	NoPrograms bool `json:"noPrograms"`

	// Landlock is the version of Landlock's interface in force, 0 for none. 4 and later know TCP.
	Landlock int `json:"landlock"`
	// Seccomp: the filter of system calls is in force.
	Seccomp bool `json:"seccomp"`
	// NoNewPrivileges: PR_SET_NO_NEW_PRIVS is set.
	NoNewPrivileges bool `json:"noNewPrivileges"`
	// MemoryLimit and CPULimit: the kernel holds the limits even if the parent does not get round to it.
	MemoryLimit bool `json:"memoryLimit"`
	CPULimit    bool `json:"cpuLimit"`

	// Missing says, for each part that could not be put in force, why.
	Missing []string `json:"missing,omitempty"`
}

// Isolated tells whether the child can do nothing but compute.
func (e Enforced) Isolated() bool { return e.NoFiles && e.NoNetwork && e.NoPrograms }

func (e Enforced) String() string {
	var has, lacks []string
	for _, part := range []struct {
		name string
		in   bool
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
		if part.in {
			has = append(has, part.name)
		} else {
			lacks = append(lacks, part.name)
		}
	}
	text := "in force: " + strings.Join(has, ", ")
	if len(has) == 0 {
		text = "nothing in force"
	}
	if len(lacks) > 0 {
		text += "; not in force: " + strings.Join(lacks, ", ")
	}
	if len(e.Missing) > 0 {
		text += " (" + strings.Join(e.Missing, "; ") + ")"
	}
	return text
}
