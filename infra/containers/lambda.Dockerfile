# The batch image with AWS Lambda's runtime client: the function of aws/pipeline.yaml.
# docker build -f infra/containers/lambda.Dockerfile --build-arg BATCH=tandem:0.1.0 -t tandem-lambda:0.1.0 .
ARG BATCH=tandem:0.1.0
FROM ${BATCH}
USER root
RUN python -m pip --python /srv/tandem/bin/python install --no-cache-dir --no-deps \
    awslambdaric==4.2.2 simplejson==3.20.2 snapshot-restore-py==1.0.0
USER 10001
# Of a function only /tmp may be written.
ENV HOME=/tmp
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["batch.serverless.handler"]
