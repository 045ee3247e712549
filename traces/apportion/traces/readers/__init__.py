"""One reader a trace format."""
