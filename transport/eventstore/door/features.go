package door

import (
	"context"
	"net"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"strandline/domain"
)

// protocolVersion is the version of EventStoreDB whose protocol is spoken. Clients look at it to know what they may ask.
const protocolVersion = "23.10.0"

// features tells clients which methods there are. It is open to anybody, as a client asks before it signs in.
type features struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

// GetSupportedMethods implements the service.
func (features) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	answer := &serverfeatures.SupportedMethods{EventStoreServerVersion: protocolVersion}
	for _, m := range methods {
		answer.Methods = append(answer.Methods, &serverfeatures.SupportedMethod{ServiceName: m.service, MethodName: m.name, Features: m.features})
	}
	return answer, nil
}

const (
	streamsService = "event_store.client.streams.streams"
	groupsService  = "event_store.client.persistent_subscriptions.persistentsubscriptions"
	gossipService  = "event_store.client.gossip.gossip"
)

var methods = []struct {
	service, name string
	features      []string
}{
	{streamsService, "append", nil},
	{streamsService, "batchappend", nil},
	{streamsService, "read", []string{"position", "events"}},
	{streamsService, "delete", nil},
	{streamsService, "tombstone", nil},
	{groupsService, "create", []string{"stream", "all"}},
	{groupsService, "update", []string{"stream", "all"}},
	{groupsService, "delete", []string{"stream", "all"}},
	{groupsService, "read", []string{"stream", "all"}},
	{groupsService, "getinfo", []string{"stream", "all"}},
	{groupsService, "list", []string{"stream", "all"}},
	{groupsService, "replayparked", []string{"stream", "all"}},
	{groupsService, "restartsubsystem", nil},
	{gossipService, "read", nil},
}

// members tells of the cluster: this server is its only member and its leader.
type members struct {
	gossip.UnimplementedGossipServer
	server *Server
}

// Read implements the service.
func (m members) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	host, port, err := net.SplitHostPort(m.server.address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   uuid(domain.ID{15: 1}, false),
		TimeStamp:    m.server.clock().UnixNano() / 100,
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(number)},
	}}}, nil
}
