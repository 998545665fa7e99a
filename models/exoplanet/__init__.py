"""What is a planet's atmosphere made of? Sixteen parameters from a transmission spectrum."""
