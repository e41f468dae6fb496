package codec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/domain/account"
	"strandline/domain/apikey"
	"strandline/domain/attachment"
	"strandline/domain/grant"
	"strandline/domain/observation"
	"strandline/domain/plan"
	"strandline/domain/projection"
	"strandline/domain/registry"
)

// Sentence says to people what happened, in ids and names, without secrets and without what was measured.
func Sentence(r domain.Recorded) string {
	switch t, known := types[r.Type]; {
	case r.Type == PartType:
		return who(r.Actor) + " sent a part of what follows"
	case r.Sealed:
		return who(r.Actor) + " did something that can no longer be read (" + shown(r.Type) + "): its key has been destroyed"
	case !known || r.Event == nil:
		return who(r.Actor) + " did something that this version cannot read (" + shown(r.Type) + ", version " + strconv.Itoa(r.Version) + ")"
	default:
		fill := append([]string{"{actor}", who(r.Actor)}, words(r)...)
		return strings.NewReplacer(fill...).Replace(t.Sentence)
	}
}

// words are the words that an event's sentence needs, each after its name in braces.
func words(r domain.Recorded) []string {
	switch e := r.Event.(type) {
	case registry.Added:
		return []string{"{kind}", kindWord(e.Kind), "{id}", shown(e.ID), "{below}", below(e.Parent)}
	case registry.Revised:
		return []string{"{kind}", kindWord(e.Kind), "{id}", shown(e.ID), "{attributes}", names(e.Attributes)}
	case registry.Removed:
		return []string{"{kind}", kindWord(e.Kind), "{id}", shown(e.ID)}
	case account.Issued:
		return []string{"{id}", short(e.ID), "{origin}", object(e.Origin)}
	case account.Revised:
		return []string{"{id}", short(e.ID), "{attributes}", credentialParts(e)}
	case account.Revoked:
		return []string{"{id}", short(e.ID)}
	case apikey.Issued:
		return []string{"{id}", short(e.ID), "{origin}", object(e.Origin)}
	case apikey.Revoked:
		return []string{"{id}", short(e.ID), "{origin}", object(e.Origin)}
	case attachment.Set:
		return []string{"{key}", shown(e.Key), "{owner}", object(e.Owner), "{target}", target(e.Target)}
	case attachment.Cleared:
		return []string{"{key}", shown(e.Key), "{owner}", object(e.Owner), "{target}", target(e.Target)}
	case grant.Given:
		return []string{"{credential}", short(e.Credential), "{role}", shown(string(e.Role)), "{object}", object(e.Object)}
	case grant.Withdrawn:
		return []string{"{id}", short(e.ID), "{object}", object(e.Object)}
	case observation.Recorded:
		return []string{"{count}", count(len(e.Items), "observation"), "{channel}", shown(e.Channel), "{about}", about(r.Actor, e.Subject)}
	case observation.Retracted:
		return []string{"{what}", retracted(e), "{channel}", shown(e.Channel), "{about}", about(r.Actor, e.Subject)}
	case access.Served:
		return []string{"{request}", request(r.Request), "{rows}", served(e)}
	case access.Refused:
		return []string{"{request}", request(r.Request), "{code}", shown(e.Code)}
	case access.Ended:
		return []string{"{rows}", count(e.Rows, "row")}
	case access.Flooded:
		return []string{"{count}", count(e.Count, "request"), "{refused}", refusals(e)}
	case plan.Made:
		return []string{"{id}", short(e.ID), "{steps}", count(len(e.Steps), "step")}
	case plan.Done:
		return []string{"{id}", short(e.ID)}
	case projection.Parked:
		return projectionWords(e.Projection, e.Positions)
	case projection.Discarded:
		return projectionWords(e.Projection, e.Positions)
	case projection.Rebuilt:
		return projectionWords(e.Projection, nil)
	case projection.Reverted:
		return projectionWords(e.Projection, nil)
	case projection.Retried:
		return projectionWords(e.Projection, e.Positions)
	}
	return nil
}

// projectionWords are those of events about a projection. One event is told by its position, more by their number.
func projectionWords(name string, positions []domain.Position) []string {
	what := count(len(positions), "event")
	if len(positions) == 1 {
		what = "event " + positions[0].String()
	}
	return []string{"{positions}", what, "{projection}", shown(name)}
}

// who names an actor.
func who(actor string) string {
	switch {
	case actor == "root":
		return "root"
	case actor == "system":
		return "the system"
	case actor == "anonymous", actor == "":
		return "somebody unknown"
	}
	return object(actor)
}

// object names an object by its id, a participant as such.
func object(id string) string {
	if id == "" {
		return "the installation"
	}
	if len(id) == 11 && id[0] == 'U' && strings.Trim(id[1:], "0123456789") == "" {
		return "participant " + id
	}
	return shown(id)
}

func about(actor, subject string) string {
	if actor == subject {
		return ""
	}
	return " for " + object(subject)
}

func below(parent string) string {
	if parent == "" {
		return ""
	}
	return " to " + object(parent)
}

func target(t string) string {
	switch t {
	case attachment.Self:
		return "itself"
	case attachment.Descendants:
		return "all below it"
	}
	return object(t)
}

func retracted(e observation.Retracted) string {
	what := "all observations"
	if e.From != nil || e.To != nil {
		what = "some observations"
	}
	if e.Series != "" {
		what += " of " + shown(e.Series)
	}
	return what
}

func credentialParts(e account.Revised) string {
	switch {
	case e.SecretHash != "" && e.Description != nil:
		return "secret and description"
	case e.SecretHash != "":
		return "the secret"
	}
	return "the description"
}

func kindWord(k registry.Kind) string {
	return strings.Replace(string(k), "_spec", " specification", 1)
}

func names(a registry.Attributes) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		all = append(all, shown(name))
	}
	return strings.Join(all, ", ")
}

func served(e access.Served) string {
	if e.Outcome == access.OutcomeQuiet {
		return "nothing to do"
	}
	return count(e.Rows, "row")
}

func refusals(e access.Flooded) string {
	n := 0
	for _, r := range e.Refused {
		n += r.Count
	}
	if n == e.Count {
		return "all"
	}
	return strconv.Itoa(n)
}

func request(r *domain.Request) string {
	if r == nil || r.Route == "" {
		return "a request"
	}
	return shown(r.Method + " " + r.Route)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short is enough of a long id to find it by.
func short(id string) string {
	const enough = 12
	if len(id) > enough {
		id = id[:enough]
	}
	return shown(id)
}

// shown is text that a terminal can be trusted with.
func shown(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.QuoteToASCII(s)
}
