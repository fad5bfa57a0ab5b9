package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

// spoilt is what a person does to an object of ours.
var spoilt = map[string]struct {
	reason string
	key    string
	spoil  func(w *world, object *unstructured.Unstructured)
	// anew is set where the object has to be made again.
	anew bool
}{
	"FieldChanged": {
		reason: "another host is other traffic",
		key:    "ServiceEntry/stock/stock.stock.global-remote",
		spoil: func(w *world, o *unstructured.Unstructured) {
			must(w.T, unstructured.SetNestedStringSlice(o.Object, []string{"elsewhere.example.com"}, "spec", "hosts"))
			must(w.T, w.Admin.Update(w.T.Context(), o))
		},
	},
	"FieldAdded": {
		reason: "a field that nobody but this person wrote changes traffic as much as one that was changed",
		key:    "DestinationRule/stock/stock.stock.global",
		spoil: func(w *world, o *unstructured.Unstructured) {
			must(w.T, unstructured.SetNestedStringMap(o.Object, map[string]string{"app": "one-client"}, "spec", "workloadSelector", "matchLabels"))
			must(w.T, w.Admin.Update(w.T.Context(), o))
		},
	},
	"ListItemAdded": {
		reason: "ports are a list keyed by name, into which server-side apply would merge",
		key:    "ServiceEntry/cart/cart.cart.global-local",
		spoil: func(w *world, o *unstructured.Unstructured) {
			ports, _, err := unstructured.NestedSlice(o.Object, "spec", "ports")
			must(w.T, err)
			ports = append(ports, map[string]any{"number": int64(8443), "name": "debug", "protocol": "TCP"})
			must(w.T, unstructured.SetNestedSlice(o.Object, ports, "spec", "ports"))
			must(w.T, w.Admin.Update(w.T.Context(), o))
		},
	},
	"FieldRemoved": {
		reason: "without exportTo everybody sees it",
		key:    "ServiceEntry/cart/cart.cart.global-remote",
		spoil: func(w *world, o *unstructured.Unstructured) {
			unstructured.RemoveNestedField(o.Object, "spec", "exportTo")
			must(w.T, w.Admin.Update(w.T.Context(), o))
		},
	},
	"MarkRemoved": {
		reason: "an object that lost its mark would never be pruned",
		key:    "DestinationRule/cart/cart.cart.global",
		spoil: func(w *world, o *unstructured.Unstructured) {
			labels := o.GetLabels()
			delete(labels, partOf)
			o.SetLabels(labels)
			must(w.T, w.Admin.Update(w.T.Context(), o))
		},
	},
	"LabelChanged": {
		reason: "labels of the repository are part of it",
		key:    "ServiceEntry/stock/stock.stock.global-remote",
		spoil: func(w *world, o *unstructured.Unstructured) {
			labels := o.GetLabels()
			labels["isthmus.dev/service"] = "somebody-elses"
			o.SetLabels(labels)
			must(w.T, w.Admin.Update(w.T.Context(), o))
		},
	},
	"Deleted": {
		reason: "what the repository says is there",
		key:    "ServiceEntry/cart/cart.cart.global-local",
		spoil: func(w *world, o *unstructured.Unstructured) {
			must(w.T, w.Admin.Delete(w.T.Context(), o))
		},
		anew: true,
	},
}

func TestDriftIsUndoneWithoutWaitingForTheInterval(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.Create("mesh", hourly)
	w.ready("mesh", w.Git.First)
	asked := w.Git.Asked.Load()
	for name, tc := range spoilt {
		t.Run(name, func(t *testing.T) {
			before, uids := w.Objects(), w.uids()
			if before[tc.key] == nil {
				t.Fatalf("the example has no %s", tc.key)
			}
			c.wire.forget()
			tc.spoil(w, before[tc.key])
			w.restored(w.Git.First)
			if writes := c.wire.requests(func(r request) bool { return r.writes() && r.resources() }); len(writes) != 1 {
				t.Errorf("%s: it is put right with one write, and nothing else is written; sent %q", tc.reason, writes)
			}
			if tc.anew {
				delete(uids, tc.key)
			}
			for key, uid := range w.uids() {
				if was, ok := uids[key]; ok && was != uid {
					t.Errorf("%s: %s was made anew", tc.reason, key)
				}
			}
		})
	}
	if got := w.Git.Asked.Load(); got != asked {
		t.Errorf("drift does not concern Git, which was asked %d times", got-asked)
	}
	w.Until("events tell of it", func() (bool, string) {
		events := w.events(v1alpha1.ReasonDriftCorrected)
		return len(events) > 0, strings.Join(events, "\n")
	})
	if ms := w.ready("mesh", w.Git.First); ms.Status.Drifted == 0 {
		t.Errorf("the status tells of drift: %s", describe(ms))
	}
}

func TestWhatPeopleAddToTheMetadataStays(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	object := w.Objects()["ServiceEntry/cart/cart.cart.global-local"]
	object.SetAnnotations(map[string]string{"example.com/seen-by": "ada"})
	labels := object.GetLabels()
	labels["example.com/team"] = "storefront"
	object.SetLabels(labels)
	must(t, w.Admin.Update(t.Context(), object))

	// A commit that changes the object must keep them too.
	w.Applied("mesh", w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090"))
	now := w.read(object)
	if now.GetGeneration() == object.GetGeneration() {
		t.Fatal("the commit did not change the object, so this test shows nothing")
	}
	if now.GetAnnotations()["example.com/seen-by"] != "ada" || now.GetLabels()["example.com/team"] != "storefront" {
		t.Errorf("what a person put into the metadata is gone: %v %v", now.GetLabels(), now.GetAnnotations())
	}
}

func TestDriftIsUndoneFromTheLastGoodCommitWhileTheNewOneIsBad(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("mesh", halting)
	w.ready("mesh", w.Git.First)
	before := w.versions()

	bad := w.Git.Edit("services/web.cue", "stock: {}", "stocks: {}")
	ms := w.refuses("mesh", v1alpha1.ReasonInvalidContent, bad)
	want := v1alpha1.SyncError{Service: "web", Path: "services.web.egress.stocks", File: "services/web.cue", Line: 8, Message: "service web calls unknown service stocks"}
	if diff := cmp.Diff([]v1alpha1.SyncError{want}, ms.Status.Errors); diff != "" {
		t.Errorf("the status names service, file and line: -want, +got:\n%s", diff)
	}
	if !strings.Contains(message(ms), "services/web.cue:8") {
		t.Errorf("the message names file and line: %s", message(ms))
	}
	w.Polled(3)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("a bad commit changed the cluster: -before, +after:\n%s", diff)
	}
	for name, tc := range spoilt {
		tc.spoil(w, w.Objects()[tc.key])
		w.restored(w.Git.First)
		t.Logf("undone: %s", name)
	}
	ms = w.Get("mesh")
	if len(ms.Status.Errors) != 1 || !strings.HasSuffix(ms.Status.LastAppliedRevision, w.Git.First) {
		t.Errorf("the error still stands, and the last good revision: %s", describe(ms))
	}
	ms = w.ready("mesh", w.Git.Restore(w.Git.First))
	if len(ms.Status.Errors) != 0 {
		t.Errorf("a good commit clears the errors: %s", describe(ms))
	}
}
