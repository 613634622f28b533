"""What the recognition handlers share.

recogniser    what the handler asks of a model, and which model a checkpoint holds
options       what ``handler_options`` may say
parameters    what a client may ask of a transcription
audio_clip    one input, with its parameters and the settings of its decoding
audio_pieces  cuts long audio where it is quiet
transcript    the answer: text, segments and words, with times and confidences
whisper/      Whisper: an encoder and a decoder over windows of 30 seconds
piecewise/    models that hear one piece after another: Wav2Vec2 (CTC) and Moonshine
activity/     the network that hears whether anyone speaks

A copy of this folder lies in the archives of both handlers, so nothing here imports the sidecar.
"""
