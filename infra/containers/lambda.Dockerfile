# The batch image with AWS Lambda's runtime client: the function of aws/pipeline.yaml.
# docker build -f infra/containers/lambda.Dockerfile --build-arg BATCH=tandem:0.1.0 -t tandem-lambda:0.1.0 .
ARG BATCH=tandem:0.1.0
FROM ${BATCH} AS batch

FROM python:3.11-slim AS build
COPY --from=batch /srv/tandem /srv/tandem
COPY infra/containers/lambda.lock infra/containers/sbom.py locks/
RUN python -m pip --python /srv/tandem/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r locks/lambda.lock \
    && /srv/tandem/bin/python locks/sbom.py tandem-lambda > /srv/tandem/sbom.cdx.json

FROM ${BATCH}
LABEL org.opencontainers.image.title="tandem-lambda" \
      org.opencontainers.image.description="Runs a packaged model over Parquet in S3, call after call"
COPY --from=build /srv/tandem /srv/tandem
# Of a function only /tmp may be written.
ENV HOME=/tmp
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["batch.serverless.handler"]
