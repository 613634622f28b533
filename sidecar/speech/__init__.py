"""Speech, between the routes and the scheduler.

service          the ways to speak and to listen that the routes use; owns the threads
fair_threads     a few threads, shared fairly by the clients; whatever blocks runs there
voices           finds the model and the voice for a name

Text to audio:

sentences        cuts a text into sentences
synthesis        text -> sentences -> queue entries -> PCM, in order
joint_start      lets streams that are asked for at the same moment share their first job
audio_encoder    PCM -> a whole file, or a stream of one
output_formats   the formats that are written
captions         spoken words -> captions

Audio to text:

audio_file       opens a file by its first bytes, with FFmpeg's hands tied
container        tells the format by these bytes
sample_tables    bounds what an MP4's tables may cost, before FFmpeg reads them
wave_length      checks the length in a WAV header
matroska_length  tells whether a Matroska file was cut off
ogg_links        finds the recordings that are chained in an Ogg file
audio_decoder    the file -> PCM in blocks
audio_resampler  frames of any rate and layout -> one rate
downmix          any number of channels -> one, at a level that recognisers hear
audio_source     the decoder in a thread
voice_activity   PCM -> stretches of speech
segmentation     probabilities of speech -> stretches (pure)
transcription    stretches -> queue entries -> text, in order
transcript       puts the text together
subtitles        segments -> SRT, WebVTT
"""
