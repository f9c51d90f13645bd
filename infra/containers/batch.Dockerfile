# The batch image: the base installation, the onnx runtime, and neither torch, transformers nor bentoml.
# Models are not in it: a job names one by --model s3://... or by a folder that is mounted.
# Build it from the repository root: docker build -f infra/containers/batch.Dockerfile -t tandem:0.1.0 .
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
# The environment has no pip of its own: nothing is installed into it after this line.
RUN python -m venv --without-pip /srv/tandem \
    && python -m pip --python /srv/tandem/bin/python install --no-cache-dir -c constraints.txt .
RUN ["/srv/tandem/bin/python", "-c", "import sys; from importlib.util import find_spec; \
found = [name for name in ('torch', 'transformers', 'bentoml') if find_spec(name)]; \
sys.exit(f'the lean image would hold {found}: a dependency has begun to need them' if found else 0)"]

FROM python:3.11-slim
LABEL org.opencontainers.image.title="tandem" \
      org.opencontainers.image.description="Runs a packaged model over Parquet in S3" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 10001 tandem
COPY --from=build /srv/tandem /srv/tandem
# The cache lies where any user may write, so that `--user` works for a mounted output folder. ONNX Runtime's Linux
# wheels collect telemetry unless this variable is there before they are imported.
ENV PATH=/srv/tandem/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    TANDEM_CACHE=/tmp/tandem
USER 10001
WORKDIR /home/tandem
# As the user that will run it: an image whose command does not start is not built.
RUN ["tandem", "run", "--help"]
# No HEALTHCHECK: a job ends, and its exit code is what its scheduler acts on.
ENTRYPOINT ["tandem"]
