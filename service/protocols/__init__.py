"""The protocols: what clients speak, turned into rows for a lane and back."""
