"""tests/bench/run: how fast postonce is, next to what it could be and what others are."""
