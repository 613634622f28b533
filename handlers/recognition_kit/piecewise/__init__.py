"""Models that hear one piece of a recording after another.

recogniser   cuts clips into pieces, has them heard and joins the results
ctc          Wav2Vec2 and its kin, which name a letter, or none, for each 20 ms
ctc_words    words and their times, from these letters
moonshine    Moonshine: an encoder and a decoder over pieces of any length
"""
