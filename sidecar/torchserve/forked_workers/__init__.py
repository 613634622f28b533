"""Workers that need not import torch: they are forked from a process that has.

python     what TorchServe is told is Python: runs the launcher
launcher   stands in for a worker towards TorchServe; starts Python where nothing is forked
template   has imported what workers need, and forks one whenever a launcher asks

These are programs of their own, run by path, not imported.  The launcher's start is part of every
wake: it imports only small modules of the standard library.
"""
