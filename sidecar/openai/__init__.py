"""What OpenAI's words mean here.

completion    a text that a model writes, as it comes
names         names of models and voices
instructions  the emotion that instructions to a voice ask for
"""
