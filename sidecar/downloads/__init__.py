"""Models from elsewhere: fetched, converted and built in a process of their own.

The server's side:

    manager          jobs: begun, counted, persisted, resumed, cancelled
    asking           what a request means: which model, from where, under which name
    fetch_process    the process, and the lines that it reports
    leftovers        what has arrived and is kept, and what is removed
    job, order       one download as the server sees it; what the process is told, and says

The process's side (`python -m sidecar.downloads fetch`):

    fetching         one order from beginning to end: fetch, convert, build
    hub, web_file, local_files, unpacking    where files come from
    transfer         one file: resumed, checked, within the disk's room
    soundness        whether the files that arrived are whole
    address_guard    which hosts may be asked
    file_names       which names are taken from strangers
    kinds            what a model's config says it is

`command_line` is behind `scripts/models`; it runs the same process.
"""
