"""Inner loops in LLVM's own vector types."""
