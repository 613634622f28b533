"""Whisper.  A recording's way through it:

    pieces (30 s at most) -> mel -> network (encoder) -> listening (decoder: greedy, beam_search)
        -> spans, words (times) -> transcript

whisper       the recogniser that the handler asks
checkpoint    loads one from a folder: the network, the vocabulary and the mel filters
network       the modules of encoder and decoder
mel           spectrograms as the encoder wants them
vocabulary    the tokens, the languages and the text that they stand for
prompts       what a client's prompt puts before the first token
rules         which token may follow
greedy        decoding by the most probable token
beam_search   decoding with several hypotheses
hypothesis    what was heard, and how surely
listening     decodes a batch of windows, again at higher temperatures where that is needed
transcriber   leads a recording through all of it
spans         segments, from the tokens of time
words         words, from tokens
alignment     the times of tokens, from attention
word_times    the times of words, from those of tokens
"""
