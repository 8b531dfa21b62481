"""From audio to words, by the network in several runtimes."""
