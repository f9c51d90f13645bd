"""What a model promises, and how it runs; knows no job and no request."""
