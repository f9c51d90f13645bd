#!/usr/bin/env bash
# Sets podman up where it is not, and builds localhost/tandem-batch, -lambda and -service at the project's version.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.1.0
infra/containers/setup.sh
. "${TANDEM_PODMAN:-/var/tmp/tandem-podman}/env"
bento=$(mktemp -d)
trap 'rm -rf "$bento"' EXIT
infra/containers/build.sh infra/containers/batch.Dockerfile "localhost/tandem-batch:$version" . --build-arg "VERSION=$version"
infra/containers/build.sh infra/containers/lambda.Dockerfile "localhost/tandem-lambda:$version" . \
  --build-arg "BATCH=localhost/tandem-batch:$version"
infra/containers/bento.sh "$bento"
infra/containers/build.sh infra/containers/service.Dockerfile "localhost/tandem-service:$version" "$bento" \
  --build-arg "VERSION=$version"
