"""What ``python -m ppl_ext`` does: the demonstration, the check-up and the factorization."""
