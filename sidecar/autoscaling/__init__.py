"""Which models are loaded, and with how many workers.  Look, think, do:

model_loader      looks at TorchServe, keeps what is wanted loaded, wakes for requests
model_board       every model as it is now; managed_model, model_status, runtime: one of them
autoscaler        thinks over every model once a second, by scaling_policy (pure)
model_operations  does: load, wake, sleep, scale, unload; model_versions: versions side by side
load_slots        who may load now, and who waits
eviction          who makes room for whom (pure)
crash_loop, retry, store_watch   deaths, pauses, changed archives (pure)
history           what was done
"""
