"""What people would pick instead, each a program that is told what to do line by line.

A program loads its model, prints ``ready``, and then answers each line of JSON, the inputs, by one
of JSON: the `seconds` that it took and the `answers`, one per input.  `peer` starts and asks them.
"""
