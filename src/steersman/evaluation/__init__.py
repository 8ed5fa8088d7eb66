"""Tasks, judges and metrics: what a steering is worth."""
