"""What all handlers share.  A job's way through it:

    rows -> job (cut into items) -> handler.decode -> handler.plan -> handler.forward
         -> json_numbers (answers as JSON) -> rows (size limit, answers into their rows)

`batch_handler` walks that way, `number_handler` with numbers as answers; `loading` prepares the
model before it, with `config`, `options`, `device`, `threads`, `precision` and `acceleration`;
`one_thread` is for work in short steps.  `tensor_input` and `tensor_model` serve the tensor
handler; `text_input`, `text_encoder`, `text_batching` and `packed_attention` the text handlers;
`wav` those that speak and listen; `seeded` those that draw.  `log_lines` is how a worker may write
to its standard output.

A copy of this folder lies in every archive, so nothing here imports the sidecar.
"""
