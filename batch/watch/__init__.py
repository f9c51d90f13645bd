"""How a job goes on, seen from its output alone: what is committed, how fast, and how long the rest takes."""
