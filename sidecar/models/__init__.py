"""Every model of the program, from its entry in the catalog to its end.

states            the states, which may follow which, and what each means for the queue (pure)
model             one model: its spec, queue, workers and operation; it alone changes its state
registry          all models by their names; adds and drops those of downloads
catalog_watch     notices entries that are added to models.json while the server runs
reconciler        observes TorchServe and the model store, decides (pure), and has one thing done
operations        what may be asked of a model; starts at most one operation at a time for each
registration      archives of the model store that operators register and take out
operator_changes  what operators may do to models, each awaited until it is done
loader            carries out operations at TorchServe: load, wake, sleep, scale, unload
worker_start      starts workers and waits until they are READY
versions          the same for versions side by side
stored_versions   those that a request asks for, and only the model store has
autoscaler        more workers, fewer or none, by the load
scaling           the autoscaler's rule (pure)
room              which models must leave memory for another
eviction          the choice of those (pure)
load_slots        who may load now, and who waits
crash_loop        detects workers that keep dying (pure)
history           what has happened to the models
"""
