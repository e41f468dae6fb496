package lamp_test

import (
	"bytes"
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

	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"

	"strandline/commands"
	"strandline/domain"
	"strandline/domain/account"
	"strandline/domain/codec"
	"strandline/projections"
	"strandline/readmodels"
	"strandline/readmodels/documents"
	"strandline/readmodels/series"
	"strandline/transport/eventstore/memory"
	"strandline/transport/files"
	"strandline/transport/keys"
	"strandline/transport/rest"
	"strandline/transport/rest/lamp"
	"strandline/transport/rest/signin"
	"strandline/transport/zstd"
)

// world is the dialect over a store in memory and real read models, with one root credential.
type world struct {
	testing.TB
	store   *memory.Store
	codec   *codec.Codec
	bus     *commands.Bus
	keys    *keys.Store
	handler http.Handler
}

// root is the access key and the secret of the first root credential.
const root = "admin:secret"

// forwards reads the parts of large events.
type forwards struct{ *memory.Store }

func (f forwards) ReadStream(ctx context.Context, stream string, from uint64, limit int) iter.Seq2[domain.Record, error] {
	return f.Store.ReadStream(ctx, stream, from, limit, commands.Forwards)
}

func newWorld(t testing.TB, options ...rest.Option) *world {
	t.Helper()
	w := &world{TB: t, store: memory.New()}
	disk, err := files.NewDisk(filepath.Join(t.TempDir(), "keys"))
	w.must(err)
	w.keys, err = keys.Open(disk, rand.Reader)
	w.must(err)
	compressor, err := zstd.New()
	w.must(err)
	w.codec = codec.New(w.keys, w.keys, compressor, compressor)
	w.start(options)
	return w
}

// start brings the read models to life, for as long as the test lasts.
func (w *world) start(options []rest.Option) {
	dir, quiet := w.TempDir(), slog.New(slog.DiscardHandler)
	directory, model := projections.Directory(dir, "1", quiet)
	models := []projections.Model{model}
	open := func(p projections.Projection) *readmodels.DB {
		db, err := readmodels.Open(dir, p.Schema, "1")
		w.must(err)
		models = append(models, projections.Table(p, db))
		return db
	}
	parts := lamp.Parts{Keys: w.keys, Directory: directory, Documents: documents.New(open(projections.Documents())),
		Series: series.NewStore(open(projections.Series())), SignIn: signin.New(directory, w.keys)}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	runner := projections.New(w.store, w.decode, models)
	running.Go(func() {
		if err := runner.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(func() { stop(); running.Wait() })
	var err error
	w.bus, err = commands.New(w.store, w.codec, w.keys, directory)
	w.must(err)
	parts.Bus = w.bus
	w.issue("admin", "", "secret")
	logger := rest.WithLogger(slog.New(slog.NewTextHandler(w.Output(), nil)))
	unflooded := rest.WithFlood(1<<30, 1<<30) // the tests are fast, and look at each record
	options = append([]rest.Option{logger, unflooded}, options...)
	w.handler = rest.NewPipeline(w.bus, w.store, directory, w.keys, options...).Handler(lamp.New(parts))
}

func (w *world) decode(ctx context.Context, r domain.Record) (domain.Recorded, error) {
	return w.codec.Decode(ctx, r, forwards{w.store})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// request makes a request as whoever has the credentials; none if they are empty.
func request(credentials, method, path, body string) *http.Request {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, content)
	if credentials != "" {
		r.Header.Set("Authorization", "Basic "+credentials)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

// send makes a request and returns the answer.
func (w *world) send(credentials, method, path, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, request(credentials, method, path, body))
	return recorder
}

// ask is send, for what must succeed. It returns the answer's data.
func (w *world) ask(credentials, method, path, body string) json.RawMessage {
	w.Helper()
	got := w.send(credentials, method, path, body)
	var envelope struct{ Data json.RawMessage }
	if err := json.Unmarshal(got.Body.Bytes(), &envelope); err != nil || got.Code != 200 {
		w.Fatalf("%s %s as %s: %d %s", method, path, credentials, got.Code, got.Body)
	}
	return envelope.Data
}

// make is ask, for what answers with a new id.
func (w *world) make(path, body string) (id string) {
	w.Helper()
	data := w.ask(root, "POST", path, body)
	if err := json.Unmarshal(data, &id); err != nil {
		var object struct{ ID string }
		w.must(json.Unmarshal(data, &object))
		return object.ID
	}
	return id
}

// issue makes a credential whose secret is hashed at little cost, and returns it.
func (w *world) issue(accessKey, origin, secret string) string {
	w.Helper()
	base64 := base64.RawStdEncoding
	salt := []byte("salt of tests")
	hash := fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", base64.EncodeToString(salt),
		base64.EncodeToString(argon2.IDKey([]byte(secret), salt, 1, 8, 1, 32)))
	command := account.Issue{ID: signin.CredentialID(w.keys, accessKey), Origin: origin, AccessKey: accessKey, SecretHash: hash}
	meta := commands.Meta{Request: domain.ID(uuid.Must(uuid.NewV7())), Dialect: "system"}
	_, err := w.bus.Do(w.Context(), w.bus.System(), meta, command)
	w.must(err)
	return accessKey + ":" + secret
}

// only is the one id in a list.
func (w *world) only(data json.RawMessage) string {
	w.Helper()
	var list []struct{ ID string }
	w.must(json.Unmarshal(data, &list))
	if len(list) != 1 {
		w.Fatalf("%s has %d elements, want 1", data, len(list))
	}
	return list[0].ID
}

// recorded are all events in the store.
func (w *world) recorded() []domain.Recorded {
	w.Helper()
	var all []domain.Recorded
	for r, err := range w.store.ReadAll(w.Context(), domain.Position{}, 0, commands.Forwards) {
		w.must(err)
		e, err := w.decode(w.Context(), r)
		w.must(err)
		all = append(all, e)
	}
	return all
}

// indent is JSON as people read it.
func indent(raw []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}
