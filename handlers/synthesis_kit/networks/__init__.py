"""The networks that speak, each behind `synthesis_kit.utterance.SynthesisNetwork`.

loading             picks a network by its checkpoint
hibari_network      hibari: text and durations to a spectrogram (`hibari_modules`), then to sound
                    (`hibari_vocoder`), in int8 by onnxruntime (`hibari_graphs`); of a part of a
                    sentence only some frames (`hibari_window`)
piper_network       Piper's voices (`piper_modules`, `piper_decoder`; `espeak_symbols` are its
                    phonemes), on a CPU in windows (`time_windows`), by convolutions that suit it
                    (`channels_last`)
vits_network        VITS and MMS-TTS (`vits_batch` pads what goes together)
speecht5_network    SpeechT5 (`xvector` hears the voice that it is to have)
bark_network        Bark
tacotron2_network   Tacotron 2 (`tacotron2_modules`)
"""
