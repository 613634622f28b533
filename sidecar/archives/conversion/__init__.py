"""Weights in other layouts as safetensors and JSON: each module has `convert(source, target)`.

bark         Bark with pickled weights and NumPy voices
hibari       the network in the hibari-tts wheel (ONNX, int8)
pickled      a PyTorch checkpoint with pickled weights
piper        a Piper voice (ONNX) as a checkpoint for VitsModel of transformers
silero       the 16 kHz network in the silero-vad wheel (ONNX)
tacotron2    NVIDIA's Tacotron 2 with a HiFi-GAN
whisper      a Whisper in CTranslate2's layout as a checkpoint for transformers
ctranslate2  reads CTranslate2's file of weights, for whisper

Nothing of a package is imported or run: its files are only read.
"""
