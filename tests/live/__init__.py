"""What the tests of faults and of attacks have in common: a world, its model, and other clients."""
