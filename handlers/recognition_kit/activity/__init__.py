"""Whether anyone speaks.

voice_activity   the network, Silero's
voice_hearing    one pass over several recordings
voice_state      what is remembered between two pieces of one recording
"""
