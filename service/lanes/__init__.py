"""The lanes: a queue and a worker for each model, and the models that come and go."""
