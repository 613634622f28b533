"""Whisper.  A recording's way through it:

    audio_pieces (30 s at most) -> mel -> network (encoder)
        -> piece_decoder (network's decoder, by greedy or beam_search)
        -> text_spans, word_times (with alignment) -> transcript

recogniser     what the handler asks of a Whisper
checkpoint     loads one from a folder: the network, the vocabulary and the mel filters
transcriber    leads clips through all of it
network        the modules of encoder and decoder, and the decoder's cache
mel            spectrograms as the encoder was trained on
vocabulary     the numbers of the special tokens and of the languages
prompts        what of a client's prompt is used, and whether a text merely repeats it
logit_filter   which token may follow
greedy         decoding by the most probable token, or by one drawn at random
beam_search    decoding with several hypotheses
hypothesis     the tokens of one decoding, and how probable they are
piece_decoder  decodes a batch of pieces, again at higher temperatures where that is needed
text_spans     the stretches of text between the tokens that stand for times
alignment      when each token was said, from attention
word_times     when each word was said, from the times of its tokens
"""
