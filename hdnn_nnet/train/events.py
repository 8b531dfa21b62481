"""Curves for TensorBoard: one file of events, written at once and by this thread, so that a full disk is one clear error.

(SummaryWriter of torch writes in a thread, whose errors are a traceback and a nameless exception.)
"""

import logging
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Events:
    """Scalars by epoch. Without the package tensorboard nothing is written.

    Args:
        directory: where the file goes; its name holds time, host and process, so that a resumed training adds one.
    """

    def __init__(self, directory: Path) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:  # a comfort, not a need
            log.warning("tensorboard is not installed: no events are written")
            self.path = None
            return
        self._event: Any = event_pb2.Event
        self._summary: Any = summary_pb2.Summary
        self._writer: Any = RecordWriter
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self.path = directory / name
        directory.mkdir(parents=True, exist_ok=True)
        self._write([self._event(wall_time=time.time(), file_version="brain.Event:2")])

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Write the values of an epoch.

        Raises:
            OSError: with the name of the file.
        """
        if self.path is None:
            return
        summary = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(
            [self._event(wall_time=time.time(), step=step, summary=self._summary(value=[one])) for one in summary]
        )

    def _write(self, events: list[Any]) -> None:
        assert self.path is not None
        try:
            with open(self.path, "ab") as handle:
                writer = self._writer(handle)
                for event in events:
                    writer.write(event.SerializeToString())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
