"""Which models are loaded, and with how many workers.

model_loader  loads what is wanted, and tells the dispatchers which workers are READY
"""
