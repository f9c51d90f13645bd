"""Fuzzing: schemathesis asks a real server all that its OpenAPI page allows, and all that it does not."""
