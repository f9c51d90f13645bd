"""Submit: a job that runs elsewhere, on AWS Batch, AWS Lambda or Kubernetes, and what becomes of it there.

fit -> command -> name -> a target's own file; look -> ended -> show. The shards, the parts and the manifest are the
job's own, wherever it runs: nothing here is needed to finish it.
"""
