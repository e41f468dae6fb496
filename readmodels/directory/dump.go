package directory

// Lines are all that the directory holds, in a fixed order, for a dump: objects in the order of their coming, then
// credentials by origin, grants, API keys, open plans.
func (d *Directory) Lines() []any {
	d.mu.RLock()
	defer d.mu.RUnlock()
	stored := d.state.store("")
	var lines []any
	for i, n := range d.state.nodes[1:] {
		lines = append(lines, map[string]any{"object": d.state.object(uint32(i + 1)), "removed": n.removed, "hidden": n.hidden})
	}
	for _, c := range stored.Credentials {
		lines = append(lines, map[string]any{"credential": c})
	}
	for _, g := range stored.Grants {
		lines = append(lines, map[string]any{"grant": g})
	}
	for _, k := range stored.Keys {
		lines = append(lines, map[string]any{"api_key": k})
	}
	for _, p := range stored.Open {
		lines = append(lines, map[string]any{"plan": p})
	}
	return lines
}
