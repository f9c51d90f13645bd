#!/usr/bin/env bash
# Builds an image with podman, on the host's network: infra/containers/build.sh DOCKERFILE TAG [CONTEXT [OPTION...]].
# Where pip on this machine has settings and certificates of its own, it has them during the build and the image has not.
set -euo pipefail
dockerfile=$1 tag=$2 context=${3:-.}
shift $(($# < 3 ? $# : 3))
options=()
for path in /etc/ssl/certs /etc/pip.conf /etc/xdg/pip ${PIP_FIND_LINKS-} $(pip config list 2> /dev/null | grep -o 'file://[^ '"'"']*' | sed 's,^file://,,;s,/simple$,,'); do
  [ -e "$path" ] && options+=(--volume "$path:$path:ro")
done
settings=$(mktemp -d)
trap 'rm -rf "$settings"' EXIT
if [ -e "$HOME/.config/pip/pip.conf" ]; then
  cp "$HOME/.config/pip/pip.conf" "$settings"
  options+=(--volume "$settings:/root/.config/pip:ro")
fi
build() {
  podman build -q --format docker --build-arg "REVISION=$(git rev-parse HEAD)" "$@" -f "$dockerfile" "$context"
}
# The stage that installs, with those settings; then the image, which takes that stage as it is and no mount with it.
build --network host "${options[@]}" --target build "$@" > /dev/null
build --network none -t "$tag" "$@"
