"""Whether anyone speaks.

network           Silero's network
detection         one pass of it over pieces of several recordings
recording_state   what is remembered between two pieces of one recording
"""
