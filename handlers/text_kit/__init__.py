"""The modules of the text handler.  A text passes through these steps:

    task.read (tokens, parameters) -> task.plan -> task.run (network) -> an answer for each

task                      the interface of a task, and loading the one named by the options
options                   the ``handler_options``
parameters                a client's parameters that several tasks share
checkpoint                loads network and tokenizer
head                      which checkpoints suit a task
token_rows                texts as rows of tokens, padded for a pass

Tasks that read a text with one pass of the network:

reading_task              their base class
text_classification       labels for the whole text
token_classification      labels for its words
fill_mask                 tokens for its mask
zero_shot_classification  labels that the client provides
text_ranking              how well a document answers a query
scores                    scores as answers

Tasks that write a text token by token:

writing_task              their base class
generation_settings       the client's parameters, with the checkpoint's values as defaults
text_generation           continues the text
text2text_generation      turns it into another text

Completions, which are sent token by token (OpenAI's API):

completion_order          the request for a completion, and the result of a turn
completion                writes several of them in a turn
token_choice              chooses the next token
written_text              turns tokens into text, as far as it is final

A copy of this folder is in the archives of the handler, so nothing here imports the sidecar.
"""
