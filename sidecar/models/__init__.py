"""Every model of the program, from its entry in the catalog to its end.

states        the states, which may follow which, and what each means for the queue (pure)
model         one model: its spec, queue, workers, operation; it alone changes its state
registry      all models by their names; what comes and goes by downloads
reconciler    observes TorchServe and the model store, decides (pure), and has one thing done
operations    what may be asked of a model; begins one operation at a time for each
loader        what is done to a model at TorchServe; worker_start: until workers are READY
versions      the same for versions side by side
operator_changes  what operators may do to models, each until it is done
autoscaler    more workers, fewer or none, by the load; scaling: the rule (pure)
room          who has to leave memory for whom; eviction: the choice (pure)
load_slots    who may load now, and who waits
crash_loop    workers that keep dying (pure)
retry         when to try again what failed (pure)
history       what has happened
"""
