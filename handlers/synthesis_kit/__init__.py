"""What the handler that speaks is made of.  A text's way:

    text/ (script) -> passes -> one of networks/ -> audio

parameters   what a client may ask
emotions     what an emotion means to a network
options      what the catalog says of a model
cloning      somebody else's voice
utterance    what a network is asked to say, and what every network offers
passes       which utterances go through the network together
word_times   when each word is spoken
audio        samples as they leave
outcomes     what a job answers
text/        from written text to the letters or phonemes that a network reads
networks/    the networks
"""
