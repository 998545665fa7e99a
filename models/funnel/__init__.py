"""A scale that is sampled itself: Neal's funnel."""
