package directory_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/grant"
	"strandline/domain/registry"
	"strandline/readmodels/directory"
)

// recorded applies an event with all that the directory keeps of its envelope.
func recorded(d *directory.Directory, n uint64, e domain.Event) domain.Envelope {
	env := domain.Envelope{Actor: "r", Time: time.Unix(int64(n), 0).UTC()}
	at := domain.Position{Commit: n, Prepare: n}
	d.Update(at, []domain.Recorded{{Position: at, Envelope: env, Event: e}})
	return env
}

func TestGrantsAreListedWithWhoGaveThem(t *testing.T) {
	d := directory.New()
	one, two := grant.Given{ID: "1", Object: "s", Credential: "c", Role: grant.Reader}, grant.Given{ID: "2", Credential: "d", Role: grant.Owner}
	recorded(d, 7, one)
	env := recorded(d, 8, two)
	want := grant.Held{Given: two, Position: domain.Position{Commit: 8, Prepare: 8}, Time: env.Time, By: "r"}
	for _, d := range []*directory.Directory{d, reload(t, d)} {
		if got := d.GrantsAfter(domain.Position{Commit: 7, Prepare: 7}); !reflect.DeepEqual(got, []grant.Held{want}) {
			t.Errorf("after the first: %+v, want %+v", got, want)
		}
		if got := d.GrantsAfter(domain.Position{}); len(got) != 2 || got[0].ID != "1" {
			t.Errorf("all: %+v", got)
		}
		if got, ok := d.Grant("2"); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("Grant = %+v, %v", got, ok)
		}
		recorded(d, 9, grant.Withdrawn{ID: "2"})
		if got, ok := d.Grant("2"); !ok || !got.Withdrawn || len(d.GrantsAfter(domain.Position{})) != 1 {
			t.Errorf("once withdrawn: %+v, %v", got, ok)
		}
		if _, ok := d.Grant("3"); ok {
			t.Error("a grant that nobody gave is found")
		}
	}
}

// The id of a credential is made of its access key, so it comes again with it. What was granted to the first holder of an
// access key is not the second one's.
func TestGrantsEndWithTheirCredential(t *testing.T) {
	given := grant.Given{ID: "1", Object: "s1", Credential: "cp", Role: grant.Reader}
	for name, then := range map[string][]domain.Event{
		"revoked":                         {given, account.Revoked{ID: "cp"}},
		"revoked and issued to another":   {given, account.Revoked{ID: "cp"}, issued("cp", "p2")},
		"its origin removed, name reused": {given, removed(registry.Participant, "p1"), issued("cp", "p2")},
		"given in between":                {account.Revoked{ID: "cp"}, given, issued("cp", "p2")},
	} {
		d := after(slices.Concat(tree, then)...)
		for _, d := range []*directory.Directory{d, reload(t, d)} {
			if got := d.Grants("cp"); len(got) != 0 {
				t.Errorf("%s: it holds %+v", name, got)
			}
		}
	}
	d := after(slices.Concat(tree, []domain.Event{given, account.Revised{ID: "cp", SecretHash: "i"}})...)
	if len(d.Grants("cp")) != 1 {
		t.Error("a new secret took the grant away")
	}
}

func TestAPIKeys(t *testing.T) {
	key := apikey.Issued{ID: "k", Origin: "p1", SecretHash: "h", Name: "n", From: 1, To: 2}
	root := apikey.Issued{ID: "l", SecretHash: "h"}
	d := after(append(tree, key, root, grant.Given{ID: "1", Object: "s2", Credential: "k", Role: grant.Reader})...)
	for _, d := range []*directory.Directory{d, reload(t, d)} {
		if got, ok := d.APIKey("k"); !ok || got.Issued != key || len(d.Grants("k")) != 1 {
			t.Errorf("APIKey = %+v, %v", got, ok)
		}
		if got := d.APIKeysAfter(domain.Position{}); len(got) != 2 || got[0].ID != "k" || got[1].ID != "l" {
			t.Errorf("all: %+v", got)
		}
		if len(d.CredentialsOf("p1")) != 1 {
			t.Error("the key is among the credentials")
		}
		apply(d, removed(registry.Study, "s1"))
		if _, ok := d.APIKey("k"); ok {
			t.Error("a key below a removed study signs in")
		}
		apply(d, apikey.Revoked{ID: "l"})
		if _, ok := d.APIKey("l"); ok {
			t.Error("a revoked key signs in")
		}
		if got, ok := d.IssuedKey("l"); !ok || !got.Revoked {
			t.Errorf("IssuedKey of a revoked one = %+v, %v", got, ok)
		}
		apply(d, apikey.Revoked{ID: "k"})
		if len(d.Grants("k")) != 0 || len(d.APIKeysAfter(domain.Position{})) != 0 {
			t.Error("a revoked key is listed, or holds a grant")
		}
		if _, ok := d.IssuedKey("m"); ok {
			t.Error("a key that nobody issued is found")
		}
	}
}

// TestGrantsAndKeysHoldWhatAModelHolds draws histories and compares with sets, before and after a restart, in pages of all
// sizes.
func TestGrantsAndKeysHoldWhatAModelHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d, grants, keys := directory.New(), map[string]string{}, map[string]bool{}
		n := uint64(0)
		for range rapid.IntRange(1, 40).Draw(rt, "events") {
			n++
			id := fmt.Sprint(rapid.IntRange(0, 5).Draw(rt, "id"))
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				recorded(d, n, grant.Given{ID: fmt.Sprint("g", n), Credential: id, Role: grant.Reader})
				grants[fmt.Sprint("g", n)] = id
			case 1:
				recorded(d, n, grant.Withdrawn{ID: "g" + id})
				delete(grants, "g"+id)
			case 2:
				recorded(d, n, apikey.Issued{ID: fmt.Sprint("k", n), SecretHash: "h"})
				keys[fmt.Sprint("k", n)] = true
			case 3:
				recorded(d, n, apikey.Revoked{ID: "k" + id})
				delete(keys, "k"+id)
			}
		}
		for _, d := range []*directory.Directory{d, reload(t, d)} {
			held := 0
			for c := range 6 {
				held += len(d.Grants(fmt.Sprint(c)))
			}
			seen := 0
			for at := (domain.Position{}); ; seen++ {
				page := d.GrantsAfter(at)
				if len(page) == 0 {
					break
				}
				if grants[page[0].ID] != page[0].Credential {
					rt.Fatalf("%+v is listed; the model has %v", page[0], grants)
				}
				at = page[0].Position
			}
			if held != len(grants) || seen != len(grants) {
				rt.Fatalf("%d are held, %d listed; the model has %v", held, seen, grants)
			}
			for _, k := range d.APIKeysAfter(domain.Position{}) {
				if !keys[k.ID] {
					rt.Fatalf("key %s is listed; the model has %v", k.ID, keys)
				}
				delete(keys, k.ID)
			}
			if len(keys) != 0 {
				rt.Fatalf("keys %v are not listed", keys)
			}
			for _, k := range d.APIKeysAfter(domain.Position{}) {
				keys[k.ID] = true
			}
		}
	})
}
