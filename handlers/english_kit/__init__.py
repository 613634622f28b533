"""Turns written English into spoken words.  A text passes through:

    markup -> scanner (the readers of each class of token, in their order) -> words

`reading` puts the readers in order.  `scanner` walks through the text once, and asks each reader
whether its kind of token is at the current position: `addresses`, `sayings`, `dates`, `clock`,
`identifiers`, `money`, `measures`, `quantities` (numbers, ranges, fractions, ordinals),
`mathematics`, `roman`, `abbreviations`, `names` (hashtags, camel case, capitals), `foreign` (other
scripts), and at last `signs`, which names all characters that no other reader handles, so that
nothing is lost. `numerals` spells out numbers; `say_as` reads text whose kind an SSML document
states.
"""
