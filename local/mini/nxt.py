"""Write annotations as AMI's NXT files have them."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

from .tokens import Token
from .voices import ACCENTS, Speaker

_HEAD = (
    '<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>\n'
    '<nite:root nite:id="{id}" xmlns:nite="http://nite.sourceforge.net/">\n'
)
_FOOT = "</nite:root>\n"


@dataclass
class Segment:
    """A speaker's stretch of speech: its times in the meeting and its tokens with theirs, in seconds."""

    start: float
    end: float
    tokens: list[tuple[Token, float, float]]
    number: int = 0  # of the meeting's sync points


def words_xml(meeting: str, agent: str, segments: list[Segment]) -> str:
    """`words/<meeting>.<agent>.words.xml`."""
    lines = []
    tokens = [timed for segment in segments for timed in segment.tokens]
    for number, (token, start, end) in enumerate(tokens):
        common = f'nite:id="{meeting}.{agent}.words{number}" starttime="{_seconds(start)}" endtime="{_seconds(end)}"'
        if token.kind == "vocalsound":
            lines.append(f'   <vocalsound {common} type="{token.text}"/>\n')
        elif token.kind == "disfmarker":
            lines.append(f"   <disfmarker {common}/>\n")
        else:
            mark = f' {token.kind}="true"' if token.kind in ("punc", "trunc") else ""
            lines.append(f"   <w {common}{mark}>{escape(token.text, {chr(39): '&#39;'})}</w>\n")
    return _HEAD.format(id=f"{meeting}.{agent}.words") + "".join(lines) + _FOOT


def segments_xml(meeting: str, agent: str, channel: int, segments: list[Segment]) -> str:
    """`segments/<meeting>.<agent>.segments.xml`, each segment with the range of its words."""
    lines, first = [], 0
    for segment in segments:
        last = first + len(segment.tokens) - 1
        words = f"{meeting}.{agent}.words"
        span = f"{words}.xml#id({words}{first})" + (f"..id({words}{last})" if last > first else "")
        lines.append(
            f'   <segment nite:id="{meeting}.sync.{segment.number}" channel="{channel}"'
            f' transcriber_start="{round(segment.start, 3)}" transcriber_end="{round(segment.end, 3)}">\n'
            f'      <nite:child href="{span}"/>\n   </segment>\n'
        )
        first = last + 1
    return _HEAD.format(id=f"{meeting}.{agent}.segs") + "".join(lines) + _FOOT


def meetings_xml(meetings: list[tuple[str, str, float, list[Speaker]]]) -> str:
    """`corpusResources/meetings.xml` from (meeting, set, duration in seconds, speakers)."""
    seen = {
        "train": 'visibility="seen" seen_type="training"',
        "dev": 'visibility="seen" seen_type="development"',
        "eval": 'visibility="unseen"',
    }
    lines = []
    for number, (meeting, set_name, duration, speakers) in enumerate(meetings, 1):
        lines.append(
            f'   <meeting nite:id="meet_{number}" type="scenario" observation="{meeting}"'
            f' name="synthesised meeting" description="mini corpus, not an AMI recording"'
            f' duration="{round(duration, 3)}" {seen[set_name]}>\n'
        )
        for speaker in speakers:
            n = speaker.channel + 1
            lines.append(
                f'      <speaker nite:id="{meeting}_{n}" channel="{speaker.channel}" nxt_agent="{speaker.agent}"'
                f' camera="Closeup{n}" global_name="{speaker.name}" role="{speaker.role}"/>\n'
            )
        lines.append("   </meeting>\n")
    return _HEAD.format(id="meet.00") + "".join(lines) + _FOOT


def participants_xml(speakers: list[Speaker]) -> str:
    """`corpusResources/participants.xml`."""
    lines = [
        f'   <participant nite:id="{s.name}" sex="{s.sex}" age_at_collection="{s.age}.0" native_language="English"'
        f' meeting="{s.meeting[:6]}">\n'
        f'      <english_language nite:id="participants.{n}" region="{ACCENTS[s.accent]}"/>\n   </participant>\n'
        for n, s in enumerate(speakers, 1)
    ]
    return _HEAD.format(id="participants.00") + "".join(lines) + _FOOT


def _seconds(time: float) -> str:
    return str(round(time, 2))
