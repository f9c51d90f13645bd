"""What a Parquet file claims of itself, looked at before pyarrow believes it."""
