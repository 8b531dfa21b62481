"""AMI's word and segment annotations through lhotse's parser, with odd entries counted instead of fatal.

lhotse's `parse_ami_annotations` reads the whole corpus at once, trusts every attribute to be there and opens files in
the locale's encoding. Here each meeting is first copied into a small tidy directory of the same layout (odd entries
left out and counted, whatever encoding rewritten as ASCII with character references), which lhotse then parses.
A meeting at a time keeps memory small, lets a corpus of a few meetings pass, and runs in parallel.
"""

import logging
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from hdnn_nnet.errors import HdnnError


class Segment(NamedTuple):
    """A stretch of one speaker's words; times in seconds, text normalised."""

    meeting: str
    channel: int
    speaker: str
    start: float
    end: float
    text: str


def parse_xml(path: Path) -> ET.Element:
    """Root element of an XML file in whatever encoding its own header declares."""
    try:
        return ET.parse(path).getroot()
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist; give the directory that holds words/ and segments/") from error
    except ET.ParseError as error:
        raise HdnnError(f"{path}: not well-formed XML ({error}); unpack the annotations again") from error


def meeting_agents(annotations: Path) -> dict[str, dict[str, ET.Element]]:
    """Speakers of every meeting: meeting id to agent letter to its element in corpusResources/meetings.xml."""
    path = annotations / "corpusResources" / "meetings.xml"
    table: dict[str, dict[str, ET.Element]] = {}
    for meeting in parse_xml(path):
        speakers = {}
        for speaker in meeting:
            try:
                int(speaker.attrib["channel"])
                speakers[speaker.attrib["nxt_agent"]] = speaker
                speaker.attrib["global_name"]
            except (KeyError, ValueError) as error:
                raise HdnnError(f"{path}: a speaker of {meeting.get('observation')} lacks {error}") from error
        table[meeting.get("observation", "")] = speakers
    return table


def _times(element: ET.Element, start: str, end: str) -> tuple[float, float] | None:
    try:
        return float(element.attrib[start]), float(element.attrib[end])
    except (KeyError, ValueError):
        return None


def _tidy_words(root: ET.Element, odd: Counter[str]) -> None:
    for element in list(root):
        keep = False
        if element.tag != "w":
            # Neither lhotse nor Kaldi's AMI recipe puts vocal sounds, gaps and disfluency marks into the text.
            if element.tag == "vocalsound" and "endtime" not in element.attrib:
                odd["vocal sound without an end time"] += 1
        elif not (element.text or "").strip():
            odd["word without text"] += 1
        elif (times := _times(element, "starttime", "endtime")) is None:
            odd["word or punctuation mark without a start or end time"] += 1
        else:
            keep = True
            if element.get("punc") != "true" and times[1] <= times[0]:
                odd["word of no duration (lhotse drops it)"] += 1
        if not keep:
            root.remove(element)


def _tidy_segments(root: ET.Element, odd: Counter[str]) -> None:
    for element in list(root):
        times = _times(element, "transcriber_start", "transcriber_end") if element.tag == "segment" else None
        if element.tag == "segment" and (times is None or times[1] <= times[0]):
            odd["segment with bad times"] += 1
        if times is None or times[1] <= times[0]:
            root.remove(element)


def _write(root: ET.Element, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="us-ascii")


def tidy_meeting(
    annotations: Path, meeting: str, agents: dict[str, ET.Element], out: Path, odd: Counter[str]
) -> Counter[str]:
    """Copy one meeting's clean annotations to `out` in the same layout.

    Returns: its `segments` and `words` (punctuation not counted).
    """
    root = ET.Element("root")
    ET.SubElement(root, "meeting", observation=meeting).extend(agents.values())
    _write(root, out / "corpusResources" / "meetings.xml")
    (out / "segments").mkdir()
    (out / "words").mkdir()
    annotated: Counter[str] = Counter()
    for path in sorted((annotations / "segments").glob(f"{meeting}.*.segments.xml")):
        agent = path.name.split(".")[1]
        words_path = annotations / "words" / f"{meeting}.{agent}.words.xml"
        if agent not in agents:
            odd["annotated speaker that meetings.xml does not know"] += 1
            continue
        if not words_path.exists():
            odd["segments file without a words file"] += 1
            continue
        segments, spoken = parse_xml(path), parse_xml(words_path)
        _tidy_segments(segments, odd)
        _tidy_words(spoken, odd)
        annotated["segments"] += len(segments)
        annotated["words"] += sum(word.get("punc") != "true" for word in spoken)
        _write(segments, out / "segments" / path.name)
        _write(spoken, out / "words" / words_path.name)
    return annotated


def read_meeting(
    annotations: Path, meeting: str, agents: dict[str, ET.Element], max_words: int | None = None
) -> tuple[list[Segment], Counter[str], Counter[str]]:
    """Segments of one meeting in lhotse's segmentation with Kaldi text normalisation, the odd entries by kind, and how many
    `segments` and `words` the annotations have.

    lhotse takes the transcriber's segments, keeps the words that lie wholly inside and splits at full stops
    (and, with `max_words`, longer ones at commas).
    """
    from lhotse.recipes.ami import parse_ami_annotations

    odd: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="ami.") as directory:
        tidy = Path(directory)
        annotated = tidy_meeting(annotations, meeting, agents, tidy, odd)
        # lhotse warns of each word it drops; _tidy_words has counted them.
        logging.disable(logging.WARNING)
        try:
            parsed: dict[Any, Any] = parse_ami_annotations(
                tidy, normalize="kaldi", max_words_per_segment=max_words or None
            )
        finally:
            logging.disable(logging.NOTSET)
    segments = []
    for (_, speaker, channel), entries in parsed.items():
        for entry in entries:
            if entry.text:
                segments.append(Segment(meeting, channel, speaker, entry.start_time, entry.end_time, entry.text))
            else:
                odd["segment without words"] += 1
    return segments, odd, annotated
