package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

// manualEdits are edits of owned objects by a user.
var manualEdits = map[string]struct {
	reason string
	key    string
	apply  func(env *environment, object *unstructured.Unstructured)
	// recreated: the controller has to create the object again.
	recreated bool
}{
	"FieldChanged": {
		reason: "another host receives other traffic",
		key:    "ServiceEntry/stock/stock.stock.global-remote",
		apply: func(env *environment, o *unstructured.Unstructured) {
			must(env.T, unstructured.SetNestedStringSlice(o.Object, []string{"elsewhere.example.com"}, "spec", "hosts"))
			must(env.T, env.Admin.Update(env.T.Context(), o))
		},
	},
	"FieldAdded": {
		reason: "an added field changes traffic too",
		key:    "DestinationRule/stock/stock.stock.global",
		apply: func(env *environment, o *unstructured.Unstructured) {
			must(env.T, unstructured.SetNestedStringMap(o.Object, map[string]string{"app": "one-client"}, "spec", "workloadSelector", "matchLabels"))
			must(env.T, env.Admin.Update(env.T.Context(), o))
		},
	},
	"ListItemAdded": {
		reason: "ports are a list keyed by name, so server-side apply would keep an added item",
		key:    "ServiceEntry/cart/cart.cart.global-local",
		apply: func(env *environment, o *unstructured.Unstructured) {
			ports, _, err := unstructured.NestedSlice(o.Object, "spec", "ports")
			must(env.T, err)
			ports = append(ports, map[string]any{"number": int64(8443), "name": "debug", "protocol": "TCP"})
			must(env.T, unstructured.SetNestedSlice(o.Object, ports, "spec", "ports"))
			must(env.T, env.Admin.Update(env.T.Context(), o))
		},
	},
	"FieldRemoved": {
		reason: "without exportTo all namespaces see the entry",
		key:    "ServiceEntry/cart/cart.cart.global-remote",
		apply: func(env *environment, o *unstructured.Unstructured) {
			unstructured.RemoveNestedField(o.Object, "spec", "exportTo")
			must(env.T, env.Admin.Update(env.T.Context(), o))
		},
	},
	"MarkRemoved": {
		reason: "an object without the label would never be pruned",
		key:    "DestinationRule/cart/cart.cart.global",
		apply: func(env *environment, o *unstructured.Unstructured) {
			labels := o.GetLabels()
			delete(labels, partOf)
			o.SetLabels(labels)
			must(env.T, env.Admin.Update(env.T.Context(), o))
		},
	},
	"LabelChanged": {
		reason: "labels of the repository belong to the object",
		key:    "ServiceEntry/stock/stock.stock.global-remote",
		apply: func(env *environment, o *unstructured.Unstructured) {
			labels := o.GetLabels()
			labels["isthmus.dev/service"] = "another-service"
			o.SetLabels(labels)
			must(env.T, env.Admin.Update(env.T.Context(), o))
		},
	},
	"Deleted": {
		reason: "an object of the repository must exist",
		key:    "ServiceEntry/cart/cart.cart.global-local",
		apply: func(env *environment, o *unstructured.Unstructured) {
			must(env.T, env.Admin.Delete(env.T.Context(), o))
		},
		recreated: true,
	},
}

func TestDriftIsUndoneWithoutWaitingForTheInterval(t *testing.T) {
	env := newEnvironment(t)
	c := env.start()
	env.Create("mesh", pollHourly)
	env.ready("mesh", env.Git.First)
	asked := env.Git.Asked.Load()
	for name, tc := range manualEdits {
		t.Run(name, func(t *testing.T) {
			before, uids := env.Objects(), env.uids()
			if before[tc.key] == nil {
				t.Fatalf("the example has no %s", tc.key)
			}
			c.recorder.reset()
			tc.apply(env, before[tc.key])
			env.restored(env.Git.First)
			if writes := c.recorder.requests(istioWrites); len(writes) != 1 {
				t.Errorf("%s: the correction needs exactly one write; sent %q", tc.reason, writes)
			}
			if tc.recreated {
				delete(uids, tc.key)
			}
			for key, uid := range env.uids() {
				if was, ok := uids[key]; ok && was != uid {
					t.Errorf("%s: %s was re-created", tc.reason, key)
				}
			}
		})
	}
	if got := env.Git.Asked.Load(); got != asked {
		t.Errorf("drift correction does not need Git, but it was polled %d times", got-asked)
	}
	env.Until("an event reports the correction", func() (bool, string) {
		events := env.events(v1alpha1.ReasonDriftCorrected)
		return len(events) > 0, strings.Join(events, "\n")
	})
	if ms := env.ready("mesh", env.Git.First); ms.Status.Drifted == 0 {
		t.Errorf("the status counts the drift: %s", describe(ms))
	}
}

func TestForeignLabelsAndAnnotationsAreKept(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	object := env.Objects()["ServiceEntry/cart/cart.cart.global-local"]
	object.SetAnnotations(map[string]string{"example.com/seen-by": "ada"})
	labels := object.GetLabels()
	labels["example.com/team"] = "storefront"
	object.SetLabels(labels)
	must(t, env.Admin.Update(t.Context(), object))

	// An update by a commit must keep them too.
	env.Applied("mesh", env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090"))
	now := env.read(object)
	if now.GetGeneration() == object.GetGeneration() {
		t.Fatal("the commit did not change the object, so this test proves nothing")
	}
	if now.GetAnnotations()["example.com/seen-by"] != "ada" || now.GetLabels()["example.com/team"] != "storefront" {
		t.Errorf("a foreign label or annotation is gone: %v %v", now.GetLabels(), now.GetAnnotations())
	}
}

func TestDriftIsCorrectedFromTheLastGoodCommitWhileTheNewCommitIsBad(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("mesh", haltOnError)
	env.ready("mesh", env.Git.First)
	before := env.versions()

	bad := env.Git.Edit("services/web.cue", "stock: {}", "stocks: {}")
	ms := env.notReadyAt("mesh", v1alpha1.ReasonInvalidContent, bad)
	want := v1alpha1.SyncError{Service: "web", Path: "services.web.egress.stocks", File: "services/web.cue", Line: 8, Message: "service web calls unknown service stocks"}
	if diff := cmp.Diff([]v1alpha1.SyncError{want}, ms.Status.Errors); diff != "" {
		t.Errorf("the status names service, file and line: -want, +got:\n%s", diff)
	}
	if !strings.Contains(message(ms), "services/web.cue:8") {
		t.Errorf("the message names file and line: %s", message(ms))
	}
	env.Polled(3)
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("a bad commit changed the cluster: -before, +after:\n%s", diff)
	}
	for name, tc := range manualEdits {
		tc.apply(env, env.Objects()[tc.key])
		env.restored(env.Git.First)
		t.Logf("corrected: %s", name)
	}
	ms = env.Get("mesh")
	if len(ms.Status.Errors) != 1 || !strings.HasSuffix(ms.Status.LastAppliedRevision, env.Git.First) {
		t.Errorf("the error and the last good revision remain in the status: %s", describe(ms))
	}
	ms = env.ready("mesh", env.Git.Restore(env.Git.First))
	if len(ms.Status.Errors) != 0 {
		t.Errorf("a good commit clears the errors: %s", describe(ms))
	}
}
