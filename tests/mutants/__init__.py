"""Seeded bugs, and whether the tests of ./check notice them (tests/mutants/README.md)."""
