"""The demonstration: two well-known posteriors, what is known of them, and how they are shown."""
