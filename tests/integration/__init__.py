"""Tests on the real TorchServe, with both archives."""
