# The endpoint's image from a bento that holds its models: what infra/containers/bento.sh puts into a folder, the context.
FROM python:3.11-slim AS build
COPY service.lock sbom.py locks/
RUN python -m venv --without-pip /srv/tandem \
    && python -m pip --python /srv/tandem/bin/python install --no-cache-dir --no-compile --only-binary :all: \
    --require-hashes -r locks/service.lock \
    && /srv/tandem/bin/python -m compileall -q --invalidation-mode unchecked-hash /srv/tandem/lib \
    && /srv/tandem/bin/python locks/sbom.py tandem-service > /srv/tandem/sbom.cdx.json
# The rooms run from the bento, not from an installation; the endpoint asks for the project's version by its name.
ARG VERSION=0.1.0
RUN at=/srv/tandem/lib/python3.11/site-packages/tandem_inference-$VERSION.dist-info && mkdir $at \
    && printf 'Metadata-Version: 2.1\nName: tandem-inference\nVersion: %s\n' "$VERSION" > $at/METADATA \
    && /srv/tandem/bin/python locks/sbom.py tandem-service > /srv/tandem/sbom.cdx.json

FROM python:3.11-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tandem-service" \
      org.opencontainers.image.description="Answers for packaged models over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      tandem.sbom="/srv/tandem/sbom.cdx.json"
RUN useradd --create-home --uid 10001 tandem
COPY --from=build /srv/tandem /srv/tandem
COPY bento /srv/bento
# It listens at every address of the container, so it takes keys. All that it writes is under /tmp: the root may be read-only. Only the word True keeps BentoML from reporting its use.
ENV PATH=/srv/tandem/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    BENTOML_DO_NOT_TRACK=True \
    BENTOML_HOST=0.0.0.0 \
    BENTOML_HOME=/tmp/bentoml \
    TANDEM_CACHE=/tmp/tandem
USER 10001
WORKDIR /home/tandem
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
"import os; from urllib.request import urlopen; urlopen('http://127.0.0.1:' + os.environ.get('BENTOML_PORT', '3000') + '/readyz', timeout=4).close()"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["bentoml", "serve", "/srv/bento"]
