package metrics

import (
	"net"
	"net/http"
)

// Local serves h to this machine alone. What came through a proxy came from elsewhere, wherever the proxy is.
func Local(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r) {
			refuse(w, http.StatusForbidden, "not-from-here", "Metrics are shown to this machine alone.",
				"Start the server with --metrics-listen, and ask there.")
			return
		}
		h.ServeHTTP(w, r)
	})
}

func isLocal(r *http.Request) bool {
	for _, forwarded := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if _, ok := r.Header[forwarded]; ok {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}
