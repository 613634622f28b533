"""Whisper.  A recording passes through these modules:

    audio_pieces (30 s at most) -> mel -> network (encoder)
        -> piece_decoder (network's decoder, by greedy or beam_search)
        -> text_spans, word_times (with alignment) -> transcript

recogniser     implements the interface `Recogniser`
checkpoint     loads one from a folder: the network, the vocabulary and the mel filters
transcriber    runs all steps for the clips of one pass
network        the modules of encoder and decoder, and the decoder's cache
mel            the spectrograms that the encoder was trained on
vocabulary     the numbers of the special tokens and of the languages
prompts        the usable part of a client's prompt, and whether a text merely repeats it
logit_filter   which token may follow
greedy         decoding by the most probable token, or by one drawn at random
beam_search    decoding with several hypotheses
hypothesis     the tokens of one decoding, and how probable they are
piece_decoder  decodes a batch of pieces, again at higher temperatures where that is needed
text_spans     the stretches of text between the tokens that stand for times
alignment      the times of tokens, from attention
word_times     the times of words, from those of their tokens
"""
