"""The modules shared by the handlers for speech recognition and voice activity.

recogniser    the interface of a model that transcribes speech, and loading one from a checkpoint
options       the ``handler_options``
parameters    a client's parameters of a transcription
audio_clip    one input, with its parameters and decoding settings
audio_pieces  cuts long audio at quiet places
transcript    the answer: text, segments and words, with times and confidences
whisper/      Whisper: an encoder and a decoder over windows of 30 seconds
piecewise/    models that process one piece after another: Wav2Vec2 (CTC) and Moonshine
activity/     the voice activity network

A copy of this folder is in the archives of both handlers, so nothing here imports the sidecar.
"""
