package policy

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"

	"github.com/cedar-policy/cedar-go"
)

//go:embed *.cedar
var texts embed.FS

// load reads the texts, each rule under its @id.
func load() (cedar.PolicyMap, error) {
	names, err := fs.Glob(texts, "*.cedar")
	if err != nil {
		return nil, err
	}
	all := cedar.PolicyMap{}
	for _, name := range names {
		if err := read(all, name); err != nil {
			return nil, fmt.Errorf("read policy %s: %w", name, err)
		}
	}
	return all, nil
}

func read(all cedar.PolicyMap, name string) error {
	text, err := texts.ReadFile(name)
	if err != nil {
		return err
	}
	rules, err := cedar.NewPolicyListFromBytes(name, text)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		id := cedar.PolicyID(rule.Annotations()["id"])
		if _, taken := all[id]; taken || id == "" {
			return fmt.Errorf("rule at line %d needs an @id of its own, %q will not do", rule.Position().Line, id)
		}
		all[id] = rule
	}
	return nil
}

func action(v Verb) cedar.EntityUID { return cedar.NewEntityUID("Action", cedar.String(v)) }

// scope is what a rule says about actions, in Cedar's JSON form.
type scope struct {
	Op       string            `json:"op"`
	Entity   *cedar.EntityUID  `json:"entity,omitempty"`
	Entities []cedar.EntityUID `json:"entities,omitempty"`
}

// rules are those that speak of one verb.
type rules struct {
	all   cedar.PolicyMap
	needs []cedar.String // attributes made of grants that they look at: making the others would take half the time
}

// compile gives each verb the rules that speak of it by name, or of all verbs. It cuts their lists of actions down to
// that one: to go through the lists at each decision would take four fifths of its time.
func compile(all cedar.PolicyMap) (map[Verb]rules, error) {
	compiled := map[Verb]rules{}
	for _, v := range verbs {
		compiled[v] = rules{all: cedar.PolicyMap{}}
	}
	for id, rule := range all {
		parts, actions, err := takeApart(rule)
		if err != nil {
			return nil, fmt.Errorf("compile rule %q: %w", id, err)
		}
		for _, v := range verbs {
			of := compiled[v]
			switch {
			case actions.Op == "All" || actions.Op == "==" && *actions.Entity == action(v):
				of.all[id] = rule
			case actions.Op == "in" && slices.Contains(actions.Entities, action(v)):
				if of.all[id], err = only(v, parts); err != nil {
					return nil, fmt.Errorf("compile rule %q for %s: %w", id, v, err)
				}
			default:
				continue
			}
			of.needs = add(of.needs, parts["conditions"])
			compiled[v] = of
		}
	}
	return compiled, nil
}

// add adds to needs the attributes made of grants that conditions name.
func add(needs []cedar.String, conditions []byte) []cedar.String {
	for name := range attributes {
		if bytes.Contains(conditions, []byte(strconv.Quote(string(name)))) && !slices.Contains(needs, name) {
			needs = append(needs, name)
		}
	}
	return needs
}

// takeApart returns a rule in its JSON form, and what that says about actions.
func takeApart(rule *cedar.Policy) (parts map[string]json.RawMessage, actions scope, err error) {
	text, err := rule.MarshalJSON()
	if err != nil {
		return nil, scope{}, err
	}
	if err := json.Unmarshal(text, &parts); err != nil {
		return nil, scope{}, err
	}
	err = json.Unmarshal(parts["action"], &actions)
	return parts, actions, err
}

// only is the rule of these parts for one verb.
func only(v Verb, parts map[string]json.RawMessage) (*cedar.Policy, error) {
	one := action(v)
	text, err := json.Marshal(scope{Op: "==", Entity: &one})
	if err != nil {
		return nil, err
	}
	own := maps.Clone(parts)
	own["action"] = text
	if text, err = json.Marshal(own); err != nil {
		return nil, err
	}
	rule := new(cedar.Policy)
	return rule, rule.UnmarshalJSON(text)
}
