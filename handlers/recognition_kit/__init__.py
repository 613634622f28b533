"""What the handlers that listen share.  A recording's way through it:

    pieces (30 s at most) -> mel -> network (encoder) -> listening (decoder: greedy, beam_search)
        -> spans, words (times) -> transcript

`recogniser` is what the handler asks of a model; `recognisers` picks one by its checkpoint:
`whisper`, or `ctc` (Wav2Vec2; `ctc_words`) and `moonshine`, which are both `piecewise`.  The way
above is Whisper's.

`parameters` is what a client may ask, `prompts` its prompt, `clip` one input with them.
`checkpoint` loads a Whisper: `network` its modules, `vocabulary` its tokens, `mel` its ears.
`rules` says which token may follow, `hypothesis` is what was said and how surely, `transcriber`
leads the whole;
`alignment` and `word_times` find the words' times.

`voice_activity` is the network that hears whether anyone speaks, `voice_hearing` its pass over
several recordings, `voice_state` what it remembers between two pieces of one.

A copy of this folder lies in the archives of both handlers, so nothing here imports the sidecar.
"""
