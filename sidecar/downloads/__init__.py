"""Models from elsewhere: fetched, converted and built in a process of their own.

The server's side:

    manager          downloads: begun, counted, persisted, resumed, cancelled
    resolution       what a request means: which model, from where, under which name
    record           one download as the server sees it, and the file of all of them
    fetch_process    the process, and the lines that it reports
    messages         what the process is told, and what it says
    leftovers        what has arrived and is kept, and what is removed

The process's side (`python -m sidecar.downloads fetch`):

    fetcher          one task from beginning to end: fetch, convert, build
    hub, local_files, unpacking    where files come from
    transfer         one file: resumed, checked, within the disk's room
    counter          how far it is: reports bytes, and stops at the limits
    soundness        whether the files that arrived are whole
    address_guard    which hosts may be asked
    file_names       which names are taken from strangers
    kinds            what a model's config says it is
    describing       a models.json entry for files that come without one

`command_line` is behind `scripts/models`, and runs the same code in its own process; `checking`
loads models for it as a worker would; `__main__` runs either.
"""
