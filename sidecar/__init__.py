"""The sidecar: an API in front of TorchServe.  A request travels:

    web -> routes (access, schemas) -> scheduling -> torchserve -> handler

The layers, imports go down only:

    __main__                 the only place that exits
    app, program, lifecycle  the application; its parts, and how they are wired; its end
    announcement             what the terminal says at the start
    configuration            checks and explains the settings, without a start
    readings                 what is read of the parts at a scrape of the metrics
    background               tasks that run beside the requests, started again when they fail
    exporting                spans and metrics for an OpenTelemetry collector
    rpc                      the Open Inference Protocol over gRPC
    routes                   one endpoint each: a request in, an answer out
    web                      connections, bodies within their limits, who may enter, errors
    speech                   text to audio and audio to text, in pieces
    open_inference           tensors of the Open Inference Protocol, in and out
    openai                   what OpenAI's names and instructions mean here
    models                   every model: its state, queue and workers, from catalog to end
    downloads                models from elsewhere, in a process of their own
    scheduling, caching      what runs when; what was answered before
    telemetry                what is measured
    torchserve               client and process of TorchServe
    errors, settings, schemas, timing, durable_files, state_folder, validation

`access` (who asks), `catalog` (which models there are) and `archives` (what happens when archives
are built) stand beside them.
"""

__version__ = "0.1.0"
