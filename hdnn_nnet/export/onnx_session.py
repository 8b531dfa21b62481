"""Running exported ONNX models: whole utterances, and streams that carry context between chunks."""

import os
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.streaming import ContextStream


class OnnxModel:
    """An exported model in ONNX Runtime, on the CPU.

    Attributes:
        feat_dim, num_pdfs: columns in and out.
        left_context, right_context: frames that one output sees on either side.
        is_stream: it takes chunks with their context, not whole utterances.
    """

    def __init__(self, path: str | os.PathLike[str], num_threads: int = 1) -> None:
        """Load a model.

        Raises:
            HdnnError: missing or damaged file, or no model of `hdnn_nnet.export.onnx_graph`.
        """
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise HdnnError("ONNX models need the package onnxruntime; install requirements.lock") from error
        if not Path(path).is_file():
            raise HdnnError(f"{path} does not exist; export the model again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = num_threads
        options.log_severity_level = 3
        try:
            # There is nothing to fall back to, and it would be told on stdout.
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # onnxruntime has a type for each kind of damage
            first = (str(error).splitlines() or [type(error).__name__])[0]  # some say nothing
            raise HdnnError(f"{path} is damaged or no ONNX model ({first}); export the model again") from error
        try:
            properties = self.session.get_modelmeta().custom_metadata_map
            self.left_context, self.right_context = (int(properties[k]) for k in ("left_context", "right_context"))
            self.is_stream = properties["stream"] == "true"
            self.feat_dim = int(self.session.get_inputs()[0].shape[1])
            output = self.session.get_outputs()[0]
            self.output_name, self.num_pdfs = output.name, int(output.shape[1])
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise HdnnError(f"{path} is an ONNX model, but none of hdnn_nnet; export the model again") from error

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(T, feat_dim) of an utterance to (T, num_pdfs) float32."""
        if self.is_stream:
            stream = self.stream()
            return np.concatenate([stream.accept(features), stream.finish()])
        return self.session.run(None, {"features": self.checked(features)})[0]

    def checked(self, features: np.ndarray) -> np.ndarray:
        """The features as the session wants them; HdnnError where their width is another."""
        if features.ndim != 2 or features.shape[1] != self.feat_dim:
            raise HdnnError(f"features of shape {features.shape}, but the model takes {self.feat_dim} a frame")
        return np.ascontiguousarray(features, np.float32)

    def stream(self) -> ContextStream:
        """One utterance chunk by chunk; only of models of the form `stream`."""
        if not self.is_stream:
            raise HdnnError("this ONNX model takes whole utterances; load stream.onnx")

        def step(context: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rows, context = self.session.run(
                None, {"features": self.checked(features), "context": self.checked(context)}
            )
            return rows, context

        return ContextStream(step, self.left_context, self.right_context, self.num_pdfs)
