"""`make images`: builds the images of `images/` that changed, and brings them to a cluster or a registry."""
