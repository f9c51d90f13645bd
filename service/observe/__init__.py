"""What the server says of itself: metrics, spans, access log."""
