package api_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/argon2"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/codec"
	"strandline/domain/observation"
	"strandline/domain/registry"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/readmodels/documents"
	"strandline/readmodels/series"
	"strandline/transport/eventstore/memory"
	"strandline/transport/files"
	"strandline/transport/keys"
	"strandline/transport/rest"
	"strandline/transport/rest/api"
	"strandline/transport/rest/signin"
	"strandline/transport/zstd"
)

// The people and things of a real world.
const (
	researcherID  = "r0000000000000000001"
	rivalID       = "r0000000000000000002"
	studyID       = "s0000000000000000001"
	otherStudyID  = "s0000000000000000002"
	participantID = "U0000000001"
	strangerID    = "U0000000002" // of another study
)

// real is the dialect over a store in memory and real read models. Everybody signs in with its id and "secret", the
// administrator as "admin".
type real struct {
	testing.TB
	store     *memory.Store
	codec     *codec.Codec
	keys      *keys.Store
	bus       *commands.Bus
	url       string
	documents *readmodels.DB
	series    *readmodels.DB
}

type forwards struct{ *memory.Store }

func (f forwards) ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return f.Store.ReadStream(ctx, stream, from, limit, commands.Forwards)
}

func newReal(t testing.TB) *real {
	t.Helper()
	w := &real{TB: t, store: memory.New()}
	disk, err := files.NewDisk(filepath.Join(t.TempDir(), "keys"))
	w.must(err)
	w.keys, err = keys.Open(disk, rand.Reader)
	w.must(err)
	compressor, err := zstd.New()
	w.must(err)
	w.codec = codec.New(w.keys, w.keys, compressor, compressor)
	w.start()
	w.settle()
	return w
}

func (w *real) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *real) Decode(ctx context.Context, r domain.Record) (domain.Recorded, error) {
	return w.codec.Decode(ctx, r, forwards{w.store})
}

// start brings the read models to life, for as long as the test lasts.
func (w *real) start() {
	dir := w.TempDir()
	directory, model := projections.Directory(dir, "1", slog.New(slog.DiscardHandler))
	models := []projections.Model{model}
	open := func(p projections.Projection) *readmodels.DB {
		db, err := readmodels.Open(dir, p.Schema, "1")
		w.must(err)
		models = append(models, projections.Table(p, db))
		return db
	}
	w.documents, w.series = open(projections.Documents()), open(projections.Series())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	runner := projections.New(w.store, w.Decode, models)
	running.Go(func() {
		if err := runner.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(func() { stop(); running.Wait() })
	var err error
	w.bus, err = commands.New(w.store, w.codec, w.keys, directory)
	w.must(err)
	door := api.New(api.Parts{Bus: w.bus, Log: w.store, Decoder: w, SignIn: signin.New(directory, w.keys),
		Series: series.NewStore(w.series), Documents: documents.New(w.documents), Directory: directory, Keys: w.keys})
	w.Cleanup(door.Stop)
	log := slog.New(slog.NewTextHandler(w.Output(), nil))
	server := httptest.NewServer(rest.NewPipeline(w.bus, w.store, directory, w.keys, rest.WithLogger(log)).Handler(door))
	w.Cleanup(server.Close)
	w.url = server.URL + "/strandline/v1"
}

// settle adds a researcher with two studies and a participant in each, and another researcher.
func (w *real) settle() {
	w.issue("admin", "")
	add := func(kind registry.Kind, id, parent string, of registry.Kind) {
		w.do(registry.Add{Key: id, Kind: kind, ID: id, Parent: parent, ParentKind: of})
		w.issue(id, id)
	}
	add(registry.Researcher, researcherID, "", "")
	add(registry.Researcher, rivalID, "", "")
	add(registry.Study, studyID, researcherID, registry.Researcher)
	add(registry.Study, otherStudyID, researcherID, registry.Researcher)
	add(registry.Participant, participantID, studyID, registry.Study)
	add(registry.Participant, strangerID, otherStudyID, registry.Study)
}

// do carries out a command for the system.
func (w *real) do(cmd domain.Command) commands.Receipt {
	w.Helper()
	receipt, err := w.bus.Do(w.Context(), w.bus.System(), commands.Meta{}, cmd)
	w.must(err)
	return receipt
}

// issue makes a credential whose secret is hashed at little cost. It waits until the directory knows the origin.
func (w *real) issue(accessKey, origin string) {
	w.Helper()
	base64, salt := base64.RawStdEncoding, []byte("salt of tests")
	hash := fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", base64.EncodeToString(salt),
		base64.EncodeToString(argon2.IDKey([]byte("secret"), salt, 1, 8, 1, 32)))
	for {
		_, err := w.bus.Do(w.Context(), w.bus.System(), commands.Meta{},
			account.Issue{ID: signin.CredentialID(w.keys, accessKey), Origin: origin, AccessKey: accessKey, SecretHash: hash})
		if err == nil {
			return
		}
		if w.Context().Err() != nil {
			w.Fatal(err)
		}
	}
}

// observe records samples of the participant in one event.
func (w *real) observe(channel string, items ...observation.Item) domain.Position {
	w.Helper()
	return w.do(observation.Record{Subject: participantID, Channel: channel, Items: items}).Position
}

// answered is an answer that has been read.
type answered struct {
	Code   int
	Body   string
	Header http.Header
}

// send makes a request as somebody, with headers given as names and values in turn.
func (w *real) send(who, method, path, body string, headers ...string) answered {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.url+path, strings.NewReader(body))
	w.must(err)
	if who != "" {
		r.SetBasicAuth(who, "secret")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	w.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	w.must(err)
	return answered{answer.StatusCode, string(text), answer.Header}
}

// get asks as the administrator for what must be there, and reads the answer.
func (w *real) get(path string, into any) http.Header {
	w.Helper()
	answer := w.send("admin", "GET", path, "")
	if answer.Code != 200 {
		w.Fatalf("GET %s: %d %s", path, answer.Code, answer.Body)
	}
	w.must(json.Unmarshal([]byte(answer.Body), into))
	return answer.Header
}
