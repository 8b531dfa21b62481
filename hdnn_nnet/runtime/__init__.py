"""Recognisers that turn audio into words: torch, ONNX, Vosk."""
