"""The measuring harness, its reports and the committed results."""
