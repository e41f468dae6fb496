package redis

import (
	"fmt"
	"regexp"
	"strings"

	"strandline/domain"
)

// ours is the component whose names begin with "strandline:": no other may take it.
const ours = "strandline"

// longestName bounds names, bytes.
const longestName = 200

var (
	nameShape  = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	topicShape = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[A-Za-z0-9._-]+)*$`)
)

// checkName is domain.ErrInvalid for what no component may be called.
func checkName(name string) error {
	if len(name) > longestName || !nameShape.MatchString(name) {
		return fmt.Errorf("%w: a component's name is made of small letters, digits and hyphens, and begins with a letter: not %q", domain.ErrInvalid, name)
	}
	return nil
}

// checkTopic tells whether a component may have a topic of that name: domain.ErrForbidden if it is another's,
// domain.ErrInvalid if it is nobody's.
func checkTopic(component, topic string) error {
	name, own := strings.CutPrefix(topic, component+":")
	switch {
	case !own:
		return fmt.Errorf("%w: the topics of %s begin with %s: unlike %q", domain.ErrForbidden, component, component, topic)
	case len(topic) > longestName || !topicShape.MatchString(name):
		return fmt.Errorf("%w: after its prefix a topic's name is made of letters, digits, dots, hyphens and underscores, with single colons between: not %q", domain.ErrInvalid, topic)
	case strings.HasSuffix(topic, deadSuffix):
		return fmt.Errorf("%w: %q is for the dead letters of another topic", domain.ErrInvalid, topic)
	}
	return nil
}
