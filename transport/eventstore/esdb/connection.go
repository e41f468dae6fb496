package esdb

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"strandline/domain"
)

// parsed reads a connection string. The client passes over what it does not know, takes some values that cannot be meant,
// and repeats the password in errors; all that is refused here, without the password.
func parsed(connection string) (*esdb.Configuration, error) {
	settings, err := esdb.ParseConnectionString(connection)
	if err == nil {
		err = errors.Join(settings.Validate(), checked(connection, settings))
	}
	var malformed *url.Error
	if errors.As(err, &malformed) {
		err = errors.New("it is not well formed")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: connection string of EventStoreDB: %w; write it as esdb://user:pass@host:2113", domain.ErrInvalid, err)
	}
	settings.MaxDiscoverAttempts = 1 // the back-off is the supervisor's
	hasten(connection, settings)
	return settings, nil
}

// Defaults that are half of the client's, so that a network that swallows everything is noticed before callers have gone.
// The interval between signs of life remains 10 s: gRPC takes no less, and servers that are asked more often may hang up.
const (
	keepAliveTimeout = 5 * time.Second
	gossipTimeout    = 3 // seconds
)

// hasten sets the defaults of what a connection string does not say.
func hasten(connection string, settings *esdb.Configuration) {
	connection = strings.ToLower(connection)
	if !strings.Contains(connection, "keepalivetimeout=") {
		settings.KeepAliveTimeout = keepAliveTimeout
	}
	if !strings.Contains(connection, "gossiptimeout=") {
		settings.GossipTimeout = gossipTimeout
	}
}

// known are the settings of connection strings, in lower case. The last two are those of other clients, of no use here.
var known = map[string]bool{
	"discoveryinterval": true, "gossiptimeout": true, "maxdiscoverattempts": true, "nodepreference": true, "keepaliveinterval": true,
	"keepalivetimeout": true, "tls": true, "tlscafile": true, "tlsverifycert": true, "usercertfile": true, "userkeyfile": true, "defaultdeadline": true,
	"connectionname": true, "throwonappendfailure": true,
}

// checked finds what is wrong with a connection string that the client has read.
func checked(connection string, settings *esdb.Configuration) error {
	servers, query, _ := strings.Cut(connection, "?")
	_, servers, _ = strings.Cut(servers, "://")
	servers = servers[strings.LastIndex(servers, "@")+1:]
	for server := range strings.SplitSeq(strings.TrimSuffix(servers, "/"), ",") {
		_, port, found := strings.Cut(server, ":")
		if n, err := strconv.Atoi(port); found && (err != nil || n < 1 || n > 65535) {
			return fmt.Errorf("%s is no port", port)
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("its settings are not well formed")
	}
	for name := range values {
		if !known[strings.ToLower(name)] {
			return fmt.Errorf("there is no setting %s", name)
		}
	}
	switch {
	case settings.DefaultDeadline != nil && *settings.DefaultDeadline <= 0:
		return errors.New("defaultDeadline is a number of milliseconds greater than 0")
	case settings.GossipTimeout <= 0:
		return errors.New("gossipTimeout is a number of seconds greater than 0")
	}
	return nil
}
