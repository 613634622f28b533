"""What TorchServe starts in place of Python: its worker's program, with changes of ours.

launcher          stands in for a worker towards TorchServe; becomes Python where nothing is forked
template          has imported what workers need, and forks one whenever a launcher asks
worker            runs TorchServe's own program with the changes below
buffered_reading  reads what Java sends in few system calls
metric_lines      writes the lines that tell of metrics after an answer, and together
request_batches   takes a batch of requests apart that came as one

The first three are programs, run by path and imported by nobody; the others are imported by a
worker alone.  TorchServe is told that the shell script `python` beside them is Python; it runs the
launcher, whose start is part of every wake: it imports only small modules of the standard library.
"""
