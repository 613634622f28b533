"""What the text handler works with.  A text's way through it:

    task.read (tokens, parameters) -> task.plan -> task.run (network) -> an answer for each

task                      what the handler asks of a task, and which one the options name
options                   what ``handler_options`` may say
parameters                what a client may ask with a text
checkpoint                loads network and tokenizer
head                      which checkpoints fit a task
token_rows                texts as rows of tokens, and several of one length for a pass

Tasks that read a text with one pass of the network:

reading_task              what they have in common
text_classification       labels for the whole text
token_classification      labels for its words
fill_mask                 what its blank may hold
zero_shot_classification  labels that the client brings
text_ranking              how well a document answers a query
scores                    scores as answers

Tasks that write a text token by token:

writing_task              what they have in common
generation_settings       what the client asks, completed by what the checkpoint says
text_generation           goes on with the text
text2text_generation      makes another text of it

Completions, which leave token by token (OpenAI's API):

completion_order          what is asked of one, and what comes of a turn
completion                writes several of them for a turn
token_choice              which token comes next
written_text              tokens as text, as far as it is certain to stay

A copy of this folder lies in the archives of the handler, so nothing here imports the sidecar.
"""
