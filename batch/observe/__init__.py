"""What a running job lets others see of it: log lines, metrics for Prometheus, spans for OpenTelemetry."""
