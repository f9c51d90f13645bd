#!/usr/bin/env bash
# podman from Debian's packages and a base image by debootstrap, for a machine that reaches no image registry.
# Everything is in one folder, TANDEM_PODMAN; nothing of the machine's own podman is changed. Source its `env` to use it:
#   infra/containers/setup.sh && . "${TANDEM_PODMAN:-/var/tmp/tandem-podman}/env"
set -euo pipefail
home=${TANDEM_PODMAN:-/var/tmp/tandem-podman}
mkdir -p "$home"

packages="podman buildah skopeo runc debootstrap fuse-overlayfs uidmap iptables containernetworking-plugins conmon catatonit"
for package in $packages; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing="${missing-} $package"
done
if [ -n "${missing-}" ]; then
  # shellcheck disable=SC2086
  (apt-get update && apt-get install -y --no-install-recommends $missing) > "$home/apt.log" 2>&1 \
    || { tail -5 "$home/apt.log" >&2; echo "setup.sh: these packages cannot be installed:$missing" >&2; exit 1; }
fi

# Root may lack CAP_SYS_RESOURCE, and then no limit can be raised: containers take this process's limits.
cat > "$home/runc" << 'END'
#!/usr/bin/python3
import json, os, sys
words = sys.argv[1:]
for at, word in enumerate(words[:-1]):
    path = {"--bundle": f"{words[at + 1]}/config.json", "-b": f"{words[at + 1]}/config.json"}.get(word)
    path = words[at + 1] if word in ("--process", "-p") and "exec" in words else path
    if path:
        with open(path) as file:
            config = json.load(file)
        config.get("process", config).pop("rlimits", None)
        with open(path, "w") as file:
            json.dump(config, file)
os.execv("/usr/sbin/runc", ["runc", *words])
END
chmod +x "$home/runc"

# crun refuses machines with both kinds of cgroups; there may be neither systemd nor its journal.
cat > "$home/containers.conf" << END
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "tandem-runc"
[engine.runtimes]
tandem-runc = ["$home/runc"]
END
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' "$home" "$home" > "$home/storage.conf"
# So that FROM python:3.11-slim is the image made here.
printf 'short-name-mode = "permissive"\n[aliases]\n"python" = "localhost/python"\n' > "$home/registries.conf"
cat > "$home/env" << END
export CONTAINERS_CONF=$home/containers.conf
export CONTAINERS_STORAGE_CONF=$home/storage.conf
export CONTAINERS_REGISTRIES_CONF=$home/registries.conf
END
. "$home/env"

if ! podman image exists localhost/python:3.11-slim; then
  if [ ! -e "$home/base.tar" ]; then
    root=$(mktemp -d "$home/base.XXXXXX")
    trap 'rm -rf "$root"' EXIT
    debootstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates bookworm "$root" \
      > "$home/debootstrap.log" 2>&1 \
      || { tail -5 "$home/debootstrap.log" >&2; echo "setup.sh: debootstrap made no base image" >&2; exit 1; }
    ln -sf python3 "$root/usr/bin/python"
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    tar -C "$root" -cf "$home/base.tar.part" .
    mv "$home/base.tar.part" "$home/base.tar"
  fi
  podman import -q "$home/base.tar" localhost/python:3.11-slim > /dev/null
fi
podman run --rm --network none localhost/python:3.11-slim python --version > /dev/null \
  || { echo "setup.sh: podman runs no container here" >&2; exit 1; }
echo "podman is set up: . $home/env"
