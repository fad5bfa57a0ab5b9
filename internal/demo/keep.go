package demo

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// keep prints commands for looking around, and waits until the context ends or a controller has
// ended.
func (d *demo) keep(ctx context.Context) error {
	var kubeconfigs []string
	for _, c := range d.clusters {
		kubeconfigs = append(kubeconfigs, c.kubeconfig)
	}
	d.out.title("Everything runs until Ctrl-C. Look around in another shell:")
	d.out.line("\n   export KUBECONFIG=%s", strings.Join(kubeconfigs, string(os.PathListSeparator)))
	for _, hint := range []struct{ command, what string }{
		{"cd " + d.repository.dir, "a clone: edit, git commit -am ..., git push"},
		{program() + " render --cluster use1-a", "the resources of a cluster, from these files"},
		{program() + " plan --context use1-a", "the difference between these files and the cluster"},
		{"kubectl --context use1-a -n " + namespace + " get meshsync", "revision, counts, errors"},
		{"kubectl --context use1-a get serviceentries -A -L isthmus.dev/service", "the services that this cluster calls"},
		{"kubectl --context use1-a -n ledger edit serviceentry", "change a resource, and see it corrected"},
		{"tail -f " + filepath.Join(d.dir, "*-controller.log"), "logs of the controllers"},
	} {
		d.out.line("   %-70s  # %s", hint.command, hint.what)
	}
	d.out.line("\n   A controller looks for a pushed commit every %s. Drift is corrected at once.", interval)

	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, c := range d.clusters {
		go func() {
			select {
			case <-running.Done():
			case <-c.controller.Ended():
				cancel(c.explain(running, "the controller of cluster "+c.name+" has ended: "+c.controller.Err().Error(), ""))
			}
		}()
	}
	<-running.Done()
	if ctx.Err() == nil {
		return context.Cause(running)
	}
	return nil
}

// program is a command line that starts this program in any folder.
func program() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return "isthmus"
}
