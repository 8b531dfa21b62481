"""Where and how networks compute: GPUs, number formats, memory."""
