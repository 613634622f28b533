"""Written English as the words that people say.  A text's way:

    markup -> scanner (the readers of each class of token, in their order) -> words

`reading` puts the readers in order.  `scanner` walks through the text once, and asks each reader
whether its kind of token stands there: `addresses`, `sayings`, `dates`, `clock`, `identifiers`,
`money`, `measures`, `quantities` (numbers, ranges, fractions, ordinals), `mathematics`, `roman`,
`abbreviations`, `names` (hashtags, camel case, capitals), `foreign` (other scripts), and at last
`signs`, which names whatever no other reader knew, so that nothing vanishes.  `numerals` makes
number words; `say_as` reads text whose kind an SSML document states.
"""
