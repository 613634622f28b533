"""Speech, between the routes and the scheduler.

    voices           a model's and a voice's name -> who speaks
    synthesis        text -> sentences -> queue entries -> PCM, in order
    rendering        PCM -> a file; audio_encoder does it, or a stream of one

    audio_file       a file, opened by its first bytes; container, sample_tables guard it
    audio_decoder    the file -> PCM in blocks; audio_resampler
    audio_source     the same, in a thread
    voice_activity   PCM -> stretches of speech
    segmentation     probabilities -> stretches (pure)
    transcription    stretches -> queue entries -> text, in order; transcript
    subtitles        segments -> SRT, WebVTT

Everything that blocks runs in the few threads of `service`.
"""
