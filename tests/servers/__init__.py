"""Tests on real TorchServes that do not stay well, or are not the usual ones."""
