"""The encoders, one file each. They import their packages when they are created."""
