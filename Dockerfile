# syntax=docker/dockerfile:1
ARG GO_VERSION=1.26
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -ldflags "-s -w -X github.com/isthmus-mesh/isthmus/internal/version.version=${VERSION}" -o /out/isthmus-controller ./cmd/isthmus-controller

# No shell, no package manager, user 65532; CA certificates and time zones are in the base.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/isthmus-controller /isthmus-controller
USER 65532:65532
ENTRYPOINT ["/isthmus-controller"]
