"""Text to speech.  A text's way:

    script (reading, pieces) -> passes -> a network -> audio

`networks` loads an `utterance.SpeechNetwork`: `hibari_network`, `piper_network`, or one of the
hub's families: `vits_network`, `speecht5_network` (`xvector` hears a voice),
`bark_network` or `tacotron2_network` (`tacotron2_modules`); these read letters.
`text_stage` may rewrite a text before; `outcomes` is what a job answers.
`hibari_modules` and `hibari_vocoder` are hibari's, `piper_modules` and `espeak_symbols` Piper's.
`word_times` tells when words are spoken.
`parameters` is what a client may ask, `emotions` what that means to a network, `options` what the
catalog says, `cloning` somebody else's voice.  `ssml` makes passages of a document.  `reading`
makes letters or phonemes (`pronunciation`; `ipa` for those that a client gives) of the words that
`english_kit` reads in a text.
"""
