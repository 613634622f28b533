"""What the text handler works with.  A text's way through it:

    task.read (tokens, parameters) -> task.plan -> task.run (network) -> an answer for each

`task` is what the handler asks of any of them; `tasks` picks one by its name in the options.
`head` says which checkpoints fit a task, `checkpoint` loads one, `row` is a text as tokens and
how several are padded.

Two ways: `reader` reads with one pass of the network (`text_classification`,
`token_classification` with `entities`, `fill_mask`, `zero_shot_classification`; `scores` are
what they answer), `writer` writes token by token (`text_generation`, `text2text_generation`;
`generation_parameters` is what a client may ask of them, `generation_defaults` what the
checkpoint asks).

A copy of this folder lies in the archives of the handler, so nothing here imports the sidecar.
"""
