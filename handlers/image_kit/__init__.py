"""The modules of the image handler: reading pictures and classifying them.

picture         turns bytes into an upright RGB picture of limited size, with Pillow
parameters      a client's parameters
classification  the inputs and outputs of the network
options         the ``handler_options``
"""
