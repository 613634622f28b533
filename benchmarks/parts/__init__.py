"""What `scripts/bench` measures, each part in a module that returns a report.

small_network   the example network: the way to a model, beside other servers
hot_path        what a request costs the sidecar, beside a bare aiohttp application
embeddings      MiniLM beside infinity-emb, a plain handler and the bare model
recognition     Whisper beside faster-whisper and onnx-asr
synthesis       the voices beside their own runtimes and Piper's server
streams         the first sound of a long text
archives        an archive with a handler of its own, beside TorchServe called directly
priorities      urgent requests under a flood; clients that leave
growth          how cost grows with connections, models, workers and text length
wakes           sleeping models
start           `scripts/serve`
idle            what is taken while nobody asks
memory          the sidecar's memory under load for an hour
"""
