"""Stores: where objects lie, S3 or a folder, and what both promise alike."""
