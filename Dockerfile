# The image is the static binary and nothing else.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o /strandline ./cmd/strandline \
	&& install -d -m 0700 -o 65532 -g 65532 /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /strandline /strandline
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
VOLUME /data
EXPOSE 8443 9090
ENTRYPOINT ["/strandline"]
# Plain HTTP is for inside the container only: HTTPS is for others, and 9090 for those who watch it.
CMD ["serve", "--data", "/data", "--listen", "127.0.0.1:8080", "--listen-tls", "0.0.0.0:8443", "--metrics-listen", "0.0.0.0:9090"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/strandline", "version", "--url", "http://127.0.0.1:8080"]
