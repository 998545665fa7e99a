"""A mixture whose assignments are latent sites, followed by discrete and by relaxed guides."""
