"""From a data set to a run, and measurements of speed and memory."""
