"""The sidecar: an API in front of TorchServe.  A request travels:

    web -> routes (access, schemas) -> scheduling -> torchserve -> handler

Imports go down only; within a level, which ends at a line, not in a circle:

    __main__                 the only place that exits
    -----
    app, program             the application; its parts, and how they are wired
    lifecycle, configuration its end; checks and explains the settings, without a start
    announcement             what the terminal says at the start
    readings, exporting      what is read at a scrape of the metrics; OpenTelemetry
    -----
    rpc                      the Open Inference Protocol over gRPC
    -----
    routes                   one endpoint each: a request in, an answer out
    web                      connections, bodies within their limits, who may enter, errors
    background               tasks that run beside the requests, started again when they fail
    -----
    open_inference           tensors of the Open Inference Protocol, in and out
    -----
    access                   who asks, and how much they may ask
    speech                   text to audio and audio to text, in pieces
    models                   every model: its state, queue and workers, from catalog to end
    downloads                models from elsewhere, in a process of their own
    openai                   what OpenAI's names and instructions mean here
    -----
    scheduling, caching      what runs when; what was answered before
    archives                 what happens when archives are built
    -----
    catalog                  which models there are
    -----
    telemetry                what is measured
    -----
    torchserve               client and process of TorchServe
    -----
    errors, settings, schemas, timing, durable_files, state_folder, validation
"""

__version__ = "0.1.0"
