"""`fit`, what it runs, and what it returns."""
