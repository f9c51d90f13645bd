"""Delta tables: a log over parquet files that moves readers from one set of them to another at once.

`delta_log.py` reads and writes the log, `delta_schema.py` and `statistics.py` say what lies in a file, `place.py` where
a table's jobs lie, `publish.py` moves readers, `source.py` takes a table as input.
"""
