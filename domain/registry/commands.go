package registry

// Key is the part of a stream's name that stands for the object: its id, or the HMAC of a specification's name, which
// is client-chosen text (decisions 2 and 5).

// Add brings an object into being. Its id is drawn by the caller.
type Add struct {
	Key        string
	Kind       Kind
	ID         string
	Parent     string
	ParentKind Kind // of Parent, empty for none: the caller has looked it up
	Attributes Attributes
	Plan       string // see Added.Plan
}

// Revise gives attributes new values, merged over the old ones.
type Revise struct {
	Key        string
	Kind       Kind
	ID         string
	Attributes Attributes
}

// Remove takes an object away.
type Remove struct {
	Key  string
	Kind Kind
	ID   string
}

func (c Add) Stream() string         { return stream(c.Kind, c.Key) }
func (c Revise) Stream() string      { return stream(c.Kind, c.Key) }
func (c Remove) Stream() string      { return stream(c.Kind, c.Key) }
func (c Add) CommandName() string    { return string(c.Kind) + ".add" }
func (c Revise) CommandName() string { return string(c.Kind) + ".revise" }
func (c Remove) CommandName() string { return string(c.Kind) + ".remove" }

func stream(kind Kind, key string) string {
	if kind == ActivitySpec || kind == SensorSpec {
		return "registry-" + string(kind) + "-" + key
	}
	return "registry-" + key
}
