"""POST /predict: rows and answers as JSON, Parquet, Arrow, or lines of JSON that are answered as they come."""
