"""Each accelerator's own compiler, delegate or simulator, asked on this machine in a process of its own."""
