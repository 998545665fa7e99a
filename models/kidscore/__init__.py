"""Children's test scores regressed on their mothers' schooling and IQ."""
