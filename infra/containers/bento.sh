#!/usr/bin/env bash
# Puts what service.Dockerfile is built from into a folder: infra/containers/bento.sh FOLDER; TANDEM_MODELS names the models.
# BentoML builds under no path that has a hidden folder in it: so the folder has none, and neither has the repository's path.
set -euo pipefail
folder=$1
bentoml=${BENTOML:-.venv/bin/bentoml}
export BENTOML_HOME="$folder/home" BENTOML_DO_NOT_TRACK=True UV_OFFLINE=1 PYTHONPATH="$PWD"
mkdir -p "$BENTOML_HOME"
"$bentoml" build > "$folder/build.log" 2>&1 || { tail -5 "$folder/build.log" >&2; exit 1; }
rm -rf "$folder/bento"
cp -rL "$BENTOML_HOME/bentos/tandem/$(cat "$BENTOML_HOME/bentos/tandem/latest")" "$folder/bento"
cp -r "$BENTOML_HOME/models" "$folder/bento/models"
cp infra/containers/service.lock infra/containers/sbom.py "$folder"
chmod -R a+rX "$folder/bento"
rm -rf "$BENTOML_HOME"
