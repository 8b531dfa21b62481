"""Transcribe speech: sound files, or what comes through stdin, to words on stdout.

With one file, or `-` for stdin, every piece of speech gives a line as soon as it is over; with several files each gives a line
that begins with its name. Progress and timing go to stderr.
"""

from hdnn_nnet.runtime.options import Transcription

Options = Transcription
EXAMPLE = "hdnn transcribe exp/mini/hdnn-h128l10_online recording.wav"


def main(options: Transcription) -> None:
    from hdnn_nnet.runtime.transcribe import transcribe

    transcribe(options)
