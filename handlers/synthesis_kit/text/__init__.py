"""From written text to what a network reads.

script          a request's text, cut into utterances
ssml            passages of an SSML document
pieces          cuts long texts where a speaker would pause
reading         letters or phonemes of a passage, with the words that `english_kit` reads in it
pronunciation   phonemes of words
ipa             phonemes that a client gives
text_stage      a model that rewrites texts before they are read (BART)
"""
