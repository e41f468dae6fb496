package account_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"strandline/domain"
	"strandline/domain/account"
)

const (
	id     = "6b1f0c2d8e3a4957"
	origin = "U0123456789"
	other  = "U9876543210"
	hash   = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"
	hash2  = "$argon2id$v=19$m=19456,t=2,p=1$dGxhcw$aGFzaA"
)

func text(s string) json.RawMessage { return json.RawMessage(s) }

func fold(events []domain.Event) account.State {
	var s account.State
	for _, e := range events {
		s = account.Evolve(s, e)
	}
	return s
}

func TestDecide(t *testing.T) {
	var (
		issue        = account.Issue{ID: id, Origin: origin, AccessKey: "a@b", SecretHash: hash, Description: text(`"Login"`)}
		issued       = account.Issued{ID: id, Origin: origin, AccessKey: "a@b", SecretHash: hash, Description: text(`"Login"`)}
		elsewhere    = account.Issued{ID: id, Origin: other, AccessKey: "a@b", SecretHash: hash}
		revoked      = account.Revoked{ID: id}
		revoke       = account.Revoke{ID: id, Origin: origin}
		holderGone   = issue
		plain        = issue
		described    = issue
		nameless     = issue
		endless      = issue
		secretless   = issue
		root         = issue
		revise       = account.Revise{ID: id, Origin: origin, SecretHash: hash2, Description: text(`null`)}
		secretOnly   = account.Revise{ID: id, Origin: origin, SecretHash: hash2}
		same         = account.Revise{ID: id, Origin: origin, SecretHash: hash, Description: text(`"Login"`)}
		sameSecret   = account.Revise{ID: id, Origin: origin, SecretHash: hash, Description: text(`"Other"`)}
		fromOutside  = account.Revise{ID: id, Origin: other, SecretHash: hash2}
		inClear      = account.Revise{ID: id, Origin: origin, SecretHash: "secret"}
		withNumber   = account.Revise{ID: id, Origin: origin, Description: text(`7`)}
		rootRevokes  = account.Revoke{ID: id}
		issuedToRoot = issued
		long         = issue
		issuedLong   = issued
	)
	holderGone.Gone = other
	plain.SecretHash = "secret"
	described.Description = text(`{}`)
	nameless.AccessKey = ""
	endless.AccessKey = strings.Repeat("a", 257)
	secretless.SecretHash = ""
	long.AccessKey = strings.Repeat("a", 256)
	issuedLong.AccessKey = long.AccessKey
	root.Origin, issuedToRoot.Origin = "", ""

	tests := []struct {
		name  string
		given []domain.Event
		when  domain.Command
		then  []domain.Event
		err   error
	}{
		{"issues", nil, issue, []domain.Event{issued}, nil},
		{"issues to the installation", nil, root, []domain.Event{issuedToRoot}, nil},
		{"issues a long access key", nil, long, []domain.Event{issuedLong}, nil},
		{"issues again after revoking", []domain.Event{elsewhere, revoked}, issue, []domain.Event{issued}, nil},
		{"issues what the removed had", []domain.Event{elsewhere}, holderGone, []domain.Event{issued}, nil},
		{"issuing what somebody else has by now is refused", []domain.Event{elsewhere, revoked, issued}, holderGone, nil, account.ErrInUse},
		{"issuing what another has is refused", []domain.Event{elsewhere}, issue, nil, account.ErrInUse},
		{"issuing twice is refused", []domain.Event{issued}, issue, nil, account.ErrInUse},
		{"issuing with a secret in clear is refused", nil, plain, nil, domain.ErrInvalid},
		{"issuing without a secret is refused", nil, secretless, nil, domain.ErrInvalid},
		{"issuing with a description that is no text is refused", nil, described, nil, domain.ErrInvalid},
		{"issuing without an access key is refused", nil, nameless, nil, domain.ErrInvalid},
		{"issuing a huge access key is refused", nil, endless, nil, domain.ErrInvalid},

		{"revises both", []domain.Event{issued}, revise, []domain.Event{account.Revised{ID: id, SecretHash: hash2, Description: text(`null`)}}, nil},
		{"revises the secret", []domain.Event{issued}, secretOnly, []domain.Event{account.Revised{ID: id, SecretHash: hash2}}, nil},
		{"revises what is new only", []domain.Event{issued}, sameSecret, []domain.Event{account.Revised{ID: id, Description: text(`"Other"`)}}, nil},
		{"revising to what it is is quiet", []domain.Event{issued}, same, nil, nil},
		{"revising nothing is quiet", []domain.Event{issued}, account.Revise{ID: id, Origin: origin}, nil, nil},
		{"revising to what it has become is quiet", []domain.Event{issued, account.Revised{ID: id, SecretHash: hash2}}, secretOnly, nil, nil},
		{"revising to the description it has got is quiet", []domain.Event{issued, account.Revised{ID: id, Description: text(`"Other"`)}}, sameSecret, nil, nil},
		{"revising keeps the description", []domain.Event{issued, account.Revised{ID: id, SecretHash: hash2}},
			account.Revise{ID: id, Origin: origin, Description: text(`"Login"`)}, nil, nil},
		{"revising nobody is refused", nil, revise, nil, account.ErrNone},
		{"revising somebody else's is refused", []domain.Event{issued}, fromOutside, nil, account.ErrNone},
		{"revising a revoked one is refused", []domain.Event{issued, revoked}, revise, nil, account.ErrNone},
		{"revising to a secret in clear is refused", []domain.Event{issued}, inClear, nil, domain.ErrInvalid},
		{"revising to a description that is no text is refused", []domain.Event{issued}, withNumber, nil, domain.ErrInvalid},

		{"revokes", []domain.Event{issued}, revoke, []domain.Event{revoked}, nil},
		{"revokes the second of that name", []domain.Event{elsewhere, revoked, issued}, revoke, []domain.Event{revoked}, nil},
		{"revoking twice is quiet", []domain.Event{issued, revoked}, revoke, nil, nil},
		{"revoking nobody is refused", nil, revoke, nil, account.ErrNone},
		{"revoking nobody's as root is refused", nil, rootRevokes, nil, account.ErrNone},
		{"revoking somebody else's is refused", []domain.Event{elsewhere}, revoke, nil, account.ErrNone},
	}
	for _, tt := range tests {
		got, err := account.Decide(fold(tt.given), tt.when)
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.then) {
			t.Errorf("%s: Decide(%+v) = %+v, %v; want %+v, %v", tt.name, tt.when, got, err, tt.then, tt.err)
		}
	}
}

func TestKindsOfErrors(t *testing.T) {
	if !errors.Is(account.ErrInUse, domain.ErrRejected) || !errors.Is(account.ErrNone, domain.ErrNotFound) {
		t.Errorf("ErrInUse is %v, ErrNone is %v", account.ErrInUse, account.ErrNone)
	}
}

// TestOneLiveCredential draws commands of two origins for one access key. Whatever they ask, the key has one holder at a
// time, and nobody else changes the credential.
func TestOneLiveCredential(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s account.State
		holder := ""
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			from := rapid.SampledFrom([]string{origin, other}).Draw(t, "from")
			secret := rapid.SampledFrom([]string{hash, hash2}).Draw(t, "secret")
			gone := rapid.SampledFrom([]string{"", "", "", origin, other}).Draw(t, "gone")
			c := rapid.SampledFrom([]domain.Command{
				account.Issue{ID: id, Origin: from, AccessKey: "a@b", SecretHash: secret, Gone: gone},
				account.Revise{ID: id, Origin: from, SecretHash: secret},
				account.Revoke{ID: id, Origin: from},
			}).Draw(t, "command")
			events, err := account.Decide(s, c)
			for _, e := range events {
				s = account.Evolve(s, e)
				switch e.(type) {
				case account.Issued:
					if holder != "" && holder != gone {
						t.Fatalf("issued to %s while %s has it", from, holder)
					}
					holder = from
				case account.Revised, account.Revoked:
					if holder != from {
						t.Fatalf("%s changed the credential of %q", from, holder)
					}
				}
				if _, end := e.(account.Revoked); end {
					holder = ""
				}
			}
			if s.Live != (holder != "") {
				t.Fatalf("live: %t; want %t", s.Live, holder != "")
			}
			if again, _ := account.Decide(s, c); err == nil && len(again) > 0 && gone != from {
				t.Fatalf("the same command again causes %+v", again)
			}
		}
	})
}
