"""Voice activity: detecting whether somebody speaks.

network           Silero's network
detection         one pass over pieces of several recordings
recording_state   the state between two pieces of one recording
"""
