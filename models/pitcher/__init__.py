"""Where was the ball thrown from? Speed and angle from one landing point."""
