"""What a user's function reads beside its arguments, and copies of it."""
