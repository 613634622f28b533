"""Pictures for networks: read, bounded, turned upright, and classified.

picture         bytes to an RGB picture, with Pillow
parameters      what a request may say beside its picture
classification  a picture on its way through the network, and the labels that come out
options         what ``handler_options`` may say
"""
