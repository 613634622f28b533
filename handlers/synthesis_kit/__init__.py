"""Text to speech.  A text's way:

    script (normalization, pronunciation, pieces) -> passes -> a network -> audio

`networks` loads `hibari_network` or `piper_network`, both an `utterance.SpeechNetwork`;
`hibari_modules` and `hibari_vocoder` are hibari's, `piper_modules` and `espeak_symbols` Piper's.
`parameters` is what a client may ask, `emotions` what that means to a network, `options` what the
catalog says.  `normalization` applies the rules (`rewriting`) of `abbreviations`, `addresses`,
`money` and `quantities`, then come hibari's own.
"""
