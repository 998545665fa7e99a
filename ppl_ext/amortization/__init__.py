"""What amortized guides of both hosts share: which sites are local, and what is refused."""
