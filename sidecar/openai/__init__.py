"""What OpenAI's words mean here.

names         names of models and voices
instructions  the emotion that instructions to a voice ask for
"""
