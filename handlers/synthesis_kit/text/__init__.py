"""From written text to what a network reads.

script          a request's text as utterances
ssml            passages of an SSML document
text_pieces     cuts texts where a speaker would pause
reading         a passage as letters or phonemes; `english_kit` spells out what is in it
pronunciation   English words as phonemes
ipa             phonemes that a client gives
text_stage      a model that rewrites a text before it is read (BART)
"""
