"""Fitted factors, and what can be done with them."""
