"""What the handlers that listen share.

recogniser    what the handler asks of a model
recognisers   picks one by its checkpoint
options       what the catalog says of a model
parameters    what a client may ask
clip          one input with its parameters
pieces        a recording in pieces
transcript    what was heard, with its times
whisper/      Whisper: an encoder and a decoder over windows of 30 seconds
piecewise/    models that hear one piece after the other: Wav2Vec2 (CTC) and Moonshine
activity/     the network that hears whether anyone speaks

A copy of this folder lies in the archives of both handlers, so nothing here imports the sidecar.
"""
