"""Trials on machines that know nothing of this project; they need root, and debootstrap or buildah.

roots     a clean Debian in a folder, with this machine's ways to the package registries
requests  the requests that a new user would send first
table     what is printed at the end
machines  both commands of the README on clean machines        (scripts/try_machines)
image     the Dockerfile, built, run and stopped               (scripts/try_image)

Only the standard library is used: the trials run before anything is installed.
"""
