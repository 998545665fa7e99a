"""Two coefficients of which only a + b**2 is seen."""
