"""Programs that measure and check a running server.

__main__        `scripts/bench`; its measurements are in parts/, the other servers in peers/
turns           runs candidates in turn, and computes the ratios between them
report          tables, plots, and sections of documents
servers         our server, TorchServe called directly, and peers' programs
process_tree    processor time and memory of a server's processes
answers         whether answers are right
own_archive     an archive with a handler of its own that takes a fixed time, and its servers
http_load       load by wrk
workspace       what is started and written inside is gone afterwards
progress        what is being done, for whoever waits
effort          how much of everything is done
The others are checks with scripts of their own, or are run by `python -m`.
"""
