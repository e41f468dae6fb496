package lamp

import (
	"errors"
	"fmt"

	"strandline/domain"
	"strandline/domain/rawjson"
	"strandline/domain/registry"
	"strandline/transport/rest"
)

// createSpec adds a specification under the name in its body.
func createSpec(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		body, err := c.json()
		if err != nil {
			return rest.Answer{}, err
		}
		attributes, err := s.attributes(body, false)
		if err != nil {
			return rest.Answer{}, err
		}
		name, err := specName(body)
		if err != nil {
			return rest.Answer{}, err
		}
		answer, err := c.do(registry.Add{Key: rest.SpecKey(c.Keys, name), Kind: s.kind, ID: name, Attributes: attributes},
			c.Directory, c.Documents)
		if errors.Is(err, registry.ErrExists) {
			return rest.Answer{}, duplicateSpec[s.kind]
		}
		return answer, err
	}
}

var duplicateSpec = map[registry.Kind]error{
	registry.ActivitySpec: &refusal{"500.activityspec-creation-failed", domain.ErrRejected},
	registry.SensorSpec:   &refusal{"500.sensorspec-creation-failed", domain.ErrRejected},
}

// specName finds the name in the body of a specification.
func specName(body []byte) (string, error) {
	for name, raw := range rawjson.Members(body) {
		if name != "name" {
			continue
		}
		if text, ok := rawjson.String(raw); ok {
			return text, nil
		}
	}
	return "", fmt.Errorf("%w: a specification has a name", domain.ErrInvalid)
}

// viewSpec shows one specification; an unknown name shows none.
func viewSpec(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		c.Meta.Details.Object = clip(c.vars["name"])
		var found []registry.Object
		if o, ok := c.Directory.Spec(s.kind, c.vars["name"]); ok {
			found = append(found, o)
		}
		return c.list(s, found, whole)
	}
}

// updateSpec merges new attributes over those of a specification.
func updateSpec(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		body, err := c.json()
		if err != nil {
			return rest.Answer{}, err
		}
		attributes, err := s.attributes(body, true)
		if err != nil {
			return rest.Answer{}, err
		}
		return c.revise(rest.SpecKey(c.Keys, c.id), attributes)
	}
}

// removeSpec takes a specification away. Activities and sensors that refer to it stay as they are.
func removeSpec(s *shape) func(*call) (rest.Answer, error) {
	return func(c *call) (rest.Answer, error) {
		return c.do(registry.Remove{Key: rest.SpecKey(c.Keys, c.id), Kind: s.kind, ID: c.id}, c.Directory, c.Documents)
	}
}
