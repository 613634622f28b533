"""Load and latency of the sidecar beside TorchServe called directly, in one run."""
