package door

// window knows which of the events that a source has given are done. Nothing before them is open.
type window struct {
	done    place // everything up to here is done
	entries []*entry
}

// entry is an event between the window's place and the last one given.
type entry struct {
	at    place
	done  bool
	given bool // somebody has had it
	cut   bool // it has been forgotten
}

// add takes the next event in.
func (w *window) add(at place) *entry {
	e := &entry{at: at}
	w.entries = append(w.entries, e)
	return e
}

// pass takes an event in that nobody is to have.
func (w *window) pass(at place) {
	if n := len(w.entries); n == 0 {
		w.done = at
	} else if last := w.entries[n-1]; last.done {
		last.at = at
	} else {
		w.entries = append(w.entries, &entry{at: at, done: true})
	}
}

// settle moves the window's place on over what is done, and returns by how many events.
func (w *window) settle() (n int) {
	for n < len(w.entries) && w.entries[n].done {
		w.done = w.entries[n].at
		w.entries[n] = nil
		n++
	}
	w.entries = w.entries[n:]
	return n
}

// cut forgets the last events, as far as nobody has had them, and returns after which one to go on.
func (w *window) cut() place {
	n := len(w.entries)
	for n > 0 && !w.entries[n-1].given && !w.entries[n-1].done {
		n--
		w.entries[n].cut = true
	}
	w.entries = w.entries[:n]
	return w.end()
}

// end is the last event given.
func (w *window) end() place {
	if n := len(w.entries); n > 0 {
		return w.entries[n-1].at
	}
	return w.done
}
