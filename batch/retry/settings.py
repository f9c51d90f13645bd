"""Settings: what a retry may be told, beside what the output's record keeps."""

#: Of JobSpec; nothing of it changes what a row's answer is.
SETTINGS = (
    "model",
    "device",
    "compile",
    "threads",
    "workers",
    "window_rows",
    "memory",
    "max_error_rate",
    "max_errors",
    "stall_s",
    "allow_uri",
    "sse",
    "sse_key_id",
    "log",
    "metrics_port",
    "metrics_host",
    "endpoint_url",
    "region",
    "aws_profile",
)
