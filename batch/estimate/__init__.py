"""Estimate: what a job will take before it is paid for, from footers and a small measured sample; and its limits."""
