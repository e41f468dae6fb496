package rest

import (
	"net/http"
	"strings"
)

// Switch picks a handler by the first segment of the path, so that the routes of two dialects can never collide.
// A path of nobody goes to Default.
type Switch struct {
	Segments map[string]http.Handler // without slashes; "" is the path "/"
	Default  http.Handler
}

// ServeHTTP implements http.Handler.
func (s Switch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, ok := s.Segments[FirstSegment(r.URL.Path)]; ok {
		h.ServeHTTP(w, r)
		return
	}
	s.Default.ServeHTTP(w, r)
}

// FirstSegment is what stands between the first and the second slash of a path.
func FirstSegment(path string) string {
	path = strings.TrimPrefix(path, "/")
	segment, _, _ := strings.Cut(path, "/")
	return segment
}
