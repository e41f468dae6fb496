package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"strandline/domain"
)

// The registry holds, for each service that is alive, a key that ends with its life unless it is set anew in time. Redis
// measures that, so clocks that differ do not matter. Whoever is no Strandline registers in the same way: with
//
//	SADD strandline:services ID
//	SET strandline:service:ID {"id":ID,"name":NAME,"roles":[…],"version":…,"addresses":[…],"started":…,"heartbeat":…} PX 5000
//
// every second, and DEL strandline:service:ID when it stops. Times are written as 2026-03-01T12:00:00Z.
const (
	serviceSet    = "strandline:services"
	servicePrefix = "strandline:service:"
)

// Times of the registry.
const (
	beat = time.Second
	life = 5 * beat // without a beat, until a service is taken to be dead
)

// mostService bounds what a service tells of itself, bytes.
const mostService = 16 << 10

// Service is a process that takes part, as it tells of itself.
type Service struct {
	ID        string    `json:"id"` // of this run of the process
	Name      string    `json:"name"`
	Roles     []string  `json:"roles"`
	Version   string    `json:"version"`
	Addresses []string  `json:"addresses"`
	Started   time.Time `json:"started"`
	Heartbeat time.Time `json:"heartbeat"`
}

// check is domain.ErrInvalid for what may not be registered.
func (s Service) check() error {
	if err := checkName(s.Name); err != nil {
		return err
	}
	if s.ID == "" || len(s.ID) > longestName || strings.ContainsFunc(s.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: a service's id is 1 to %d printable characters without spaces, not %q", domain.ErrInvalid, longestName, s.ID)
	}
	return nil
}

// Registry is the list of services that Redis keeps.
type Registry struct {
	client *goredis.Client
	log    *slog.Logger
}

// NewRegistry returns a Registry. The client is the caller's, also to close.
func NewRegistry(client *goredis.Client, log *slog.Logger) *Registry { return &Registry{client, log} }

// Register keeps a service in the registry until ctx ends, and takes it out then: tells is asked at each beat what there is
// to tell, always under the same id. While Redis is away it tries again. Only a service that may not be registered is an
// error.
func (r *Registry) Register(ctx context.Context, tells func() Service) error {
	first := tells()
	if err := first.check(); err != nil {
		return err
	}
	defer r.remove(first.ID)
	for ; ctx.Err() == nil; wait(ctx, beat) {
		if err := r.beat(ctx, tells()); err != nil {
			r.log.DebugContext(ctx, "this process could not be registered", "cause", err)
		}
	}
	return nil
}

func (r *Registry) beat(ctx context.Context, s Service) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = r.client.Pipelined(ctx, func(both goredis.Pipeliner) error {
		both.SAdd(ctx, serviceSet, s.ID)
		both.Set(ctx, servicePrefix+s.ID, text, life)
		return nil
	})
	return err
}

// remove takes a service out at once, if that can be done; else its life ends.
func (r *Registry) remove(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if _, err := r.client.Pipelined(ctx, func(both goredis.Pipeliner) error {
		both.Del(ctx, servicePrefix+id)
		both.SRem(ctx, serviceSet, id)
		return nil
	}); err != nil {
		r.log.Debug("this process could not be taken out of the registry", "cause", err)
	}
}

// Services are those that are alive, in no order. What is not written as it should be is left out.
func (r *Registry) Services(ctx context.Context) ([]Service, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	ids, err := r.client.SMembers(ctx, serviceSet).Result()
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = servicePrefix + id
	}
	texts, err := r.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	var all []Service
	var dead []any
	for i, text := range texts {
		if text == nil {
			dead = append(dead, ids[i])
			continue
		}
		s, err := readService(text, ids[i])
		if err != nil {
			r.log.DebugContext(ctx, "a service cannot be read: left out", "id", ids[i], "cause", err)
			continue
		}
		all = append(all, s)
	}
	if len(dead) > 0 { // one that was only late is there again with its next beat
		_ = r.client.SRem(ctx, serviceSet, dead...).Err() // whoever asks next tries again
	}
	return all, nil
}

// readService reads what a service tells of itself.
func readService(text any, id string) (s Service, err error) {
	written, ok := text.(string)
	if !ok || len(written) > mostService {
		return s, errService
	}
	if err := json.Unmarshal([]byte(written), &s); err != nil {
		return s, err
	}
	if s.ID != id {
		return s, errService
	}
	if s.Roles == nil {
		s.Roles = []string{}
	}
	if s.Addresses == nil {
		s.Addresses = []string{}
	}
	return s, s.check()
}

var errService = errors.New("not what a service tells of itself")
