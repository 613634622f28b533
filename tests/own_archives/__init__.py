"""Archives with custom handlers: under plain TorchServe, and under the sidecar.

handlers   one file each, of the kinds that people have
archives   how torch-model-archiver packs them, and what each is asked
packing    the process that packs them
plain      `torchserve --start`, as its users start it
"""
