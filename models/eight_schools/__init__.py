"""Eight schools: effects of coaching, centered and non-centered."""
