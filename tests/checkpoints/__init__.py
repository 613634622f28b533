"""Small checkpoints with random weights, in the hub's layout, made with transformers' own classes.

One family a module; each has `build(folder)`, which writes a complete checkpoint.
`text` has several, with the kinds of tokenizers in `text_tokenizers`.
"""
