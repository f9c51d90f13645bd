"""`tandem demo`: the whole path on real models and data, with checks that can fail."""
