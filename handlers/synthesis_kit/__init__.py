"""Text to speech.  A text's way:

    script (normalization, pronunciation, pieces) -> passes -> a network -> audio

`networks` loads `hibari_network` or `piper_network`, both an `utterance.SpeechNetwork`;
`hibari_modules` and `hibari_vocoder` are hibari's, `espeak_symbols` spells for Piper.  `parameters`
is what a client may ask, `emotions` what that means to a network, `options` what the catalog says.
"""
