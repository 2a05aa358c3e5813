"""Fixtures that several folders share: the real servers, each on free ports and a folder of its own."""
