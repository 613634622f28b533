"""Weights in other layouts as safetensors and JSON: `convert(source, target)` in each module.

    hibari    the network in the hibari-tts wheel (ONNX, int8)
    piper     a Piper voice (ONNX) as a checkpoint for transformers' VitsModel
    silero    the 16 kHz network in the silero-vad wheel (ONNX)
    whisper   a Whisper in CTranslate2's layout as a checkpoint for transformers

Only files are read: nothing of a package is imported or run.
"""
