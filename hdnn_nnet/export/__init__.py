"""Acoustic models for other runtimes: Kaldi's nnet3 and Vosk, ONNX."""
