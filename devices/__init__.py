"""Work on a device: catalogue of real devices, compute time, memory. Knows nothing of training, clocks or networks."""
