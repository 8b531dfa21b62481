"""Transcribe speech: sound files, or what comes through stdin, to words on stdout.

With one file, or `-` for stdin, every piece of speech gives a line as soon as it is over; with several files each gives a line
that begins with its name. Progress and timing go to stderr. Other formats: --format. A file that cannot be read does not stop
the others, but the status is 1 in the end. From a microphone: arecord -t raw -f S16_LE -r 16000 -c 1 | hdnn transcribe MODEL -
"""

from hdnn_nnet.runtime.options import Transcription

Options = Transcription
EXAMPLE = "hdnn transcribe exp/mini/hdnn-h128l10_online recording.wav"


def main(options: Transcription) -> None:
    from hdnn_nnet.runtime.transcribe import transcribe

    transcribe(options)
