"""Handlers without TorchServe: a context of plain attributes, and models made on the spot."""
