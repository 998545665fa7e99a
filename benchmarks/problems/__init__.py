"""Twelve posteriors of posteriordb as models of both hosts, with their reference moments."""
