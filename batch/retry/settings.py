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
    "endpoint_url",
    "region",
    "aws_profile",
)
