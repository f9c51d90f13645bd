"""Error rows of an output: found by what the parts say of themselves, grouped for people, and run again."""
