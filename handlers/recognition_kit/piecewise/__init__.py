"""Models that process one piece of a recording after another.

recogniser   cuts clips into pieces, runs the network on them and joins the results
ctc          Wav2Vec2 and similar networks, which predict a letter or a blank for each 20 ms
ctc_words    turns these letters into words with times
moonshine    Moonshine: an encoder and a decoder over pieces of any length
"""
