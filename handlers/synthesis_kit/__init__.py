"""What the speech synthesis handler is made of.  A text's way:

    text/ (script) -> speaker (passes, one of networks/, audio)

parameters   what a client may ask
options      what ``handler_options`` may say
utterance    what a network is asked to say, and what every network offers
prosody      tempo, pitch and energy of an utterance, and what emotions make of them
cloning      somebody else's voice
speaker      scripts as audio, with pauses and the times of words
passes       which utterances go through the network together
word_times   when each word is spoken
audio        utterances' samples as one piece of audio
outcomes     what a job answers for a script
text/        from written text to the letters or phonemes that a network reads
networks/    the networks
"""
