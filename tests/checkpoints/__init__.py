"""Small checkpoints with random weights, in the hub's layout, made with transformers' own classes.

One family a module; each has `build(folder)`, which writes a complete checkpoint.
"""
