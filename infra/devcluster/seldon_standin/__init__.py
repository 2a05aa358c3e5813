"""A small stand-in for Seldon Core's operator, for development clusters that cannot install the real one."""
