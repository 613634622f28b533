"""Pictures for networks: read, bounded, turned upright, and what is seen in them.

picture     bytes to an RGB picture, by Pillow
parameters  what a request may say beside its picture
seen        a picture on its way through the network
labels      a network's numbers as its labels, best first
options     what ``handler_options`` may say
"""
