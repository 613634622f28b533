"""Workers that need not import torch: they are forked from a process that has.

launcher   stands in for a worker towards TorchServe; becomes Python where nothing is forked
template   has imported what workers need, and forks one whenever a launcher asks

Both are programs, run by path and imported by nobody.  TorchServe is told that the shell script
`python` beside them is Python; it runs the launcher, whose start is part of every wake: it imports
only small modules of the standard library.
"""
