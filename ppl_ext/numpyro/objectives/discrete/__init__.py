"""The bound of guides with discrete sites, and how it finds out what depends on what."""
