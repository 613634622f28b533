"""Models that hear one piece of a recording after the other.

piecewise   cuts, hears and joins
ctc         Wav2Vec2 and its kin, which say a letter or nothing for each 20 ms
ctc_words   words and their times, from these letters
moonshine   Moonshine, an encoder and a decoder without windows
"""
