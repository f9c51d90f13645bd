"""The same models, one request at a time, as a BentoML service."""
