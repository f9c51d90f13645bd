# The batch image: the onnx runtime and what a job needs, and neither torch, transformers nor bentoml.
# Models are not in it: a job names one by --model s3://... or by a folder that is mounted.
# Build it from the repository root: docker build -f infra/containers/batch.Dockerfile -t tandem-batch:0.1.0 .
# With --build-arg RUNTIME=gpu it holds the runtime for CUDA and NVIDIA's libraries instead: run it with --gpus all.
FROM python:3.11-slim AS build
ARG RUNTIME=cpu
WORKDIR /src
# What is installed is what the lock names, byte for byte. The environment has no pip of its own.
COPY infra/containers/${RUNTIME}.lock infra/containers/wheel.lock infra/containers/sbom.py locks/
RUN python -m venv --without-pip /srv/tandem \
    && python -m pip --python /srv/tandem/bin/python install --no-cache-dir --no-compile --only-binary :all: \
    --require-hashes -r locks/${RUNTIME}.lock \
    # Without the packages' own tests, what C++ is compiled with, and what a job never is: a Flight server.
    && cd /srv/tandem/lib/python3.11/site-packages \
    && find . -type d -name tests -prune -exec rm -rf {} + \
    && rm -rf onnxruntime/transformers pyarrow/include pyarrow/src pyarrow/*flight*
RUN python -m venv /build \
    && /build/bin/python -m pip install --no-cache-dir --only-binary :all: --require-hashes -r locks/wheel.lock
COPY . .
RUN /build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m pip --python /srv/tandem/bin/python install --no-cache-dir --no-compile --no-deps --no-index /wheels/*.whl
RUN ["/srv/tandem/bin/python", "-c", "import sys; from importlib.util import find_spec; \
found = [name for name in ('torch', 'transformers', 'bentoml') if find_spec(name)]; \
sys.exit(f'the lean image would hold {found}: a dependency has begun to need them' if found else 0)"]
# Compiled by their content and not by the time, so that the image starts as fast and two builds are the same.
RUN /srv/tandem/bin/python -m compileall -q --invalidation-mode unchecked-hash /srv/tandem/lib \
    && /srv/tandem/bin/python locks/sbom.py tandem-batch > /srv/tandem/sbom.cdx.json

FROM python:3.11-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG RUNTIME=cpu
LABEL org.opencontainers.image.title="tandem-batch" \
      org.opencontainers.image.description="Runs a packaged model over Parquet in S3" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      tandem.runtime="${RUNTIME}" \
      tandem.sbom="/srv/tandem/sbom.cdx.json"
RUN useradd --create-home --uid 10001 tandem
COPY --from=build /srv/tandem /srv/tandem
# The cache lies where any user may write, so that `--user` works for a mounted output folder. ONNX Runtime's Linux
# wheels collect telemetry unless this variable is there before they are imported. The libraries are the GPU's only.
ENV PATH=/srv/tandem/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    LD_LIBRARY_PATH=/srv/tandem/lib/python3.11/site-packages/nvidia/cu13/lib:/srv/tandem/lib/python3.11/site-packages/nvidia/cudnn/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    TANDEM_CACHE=/tmp/tandem
USER 10001
WORKDIR /home/tandem
# As the user that will run it: an image whose command does not start is not built.
RUN ["tandem", "run", "--help"]
STOPSIGNAL SIGTERM
# No HEALTHCHECK: a job ends, and its exit code is what its scheduler acts on.
ENTRYPOINT ["tandem"]
