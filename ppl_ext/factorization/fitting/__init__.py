"""A factorization fitted: to a table in memory, to a stream, or sweep by sweep."""
