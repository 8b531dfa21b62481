"""local/own_lang.sh: which words of a text join the vocabulary."""

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
#: ONE ten times, RED and TWO five times, RARE once
TEXT = "RED ONE\n" * 3 + "ONE TWO ONE\n" * 3 + "ONE RARE\n" + "TWO RED\n" * 2


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part, sentences in (("train", ["RED GREEN", "GREEN GREEN RED", "RED"]), ("dev", ["RED ONE", "TWO RARE"])):
        folder = tmp_path / "data/ihm" / part
        folder.mkdir(parents=True)
        (folder / "text").write_text("".join(f"u{i} {words}\n" for i, words in enumerate(sentences)))
    (tmp_path / "text.txt").write_text(TEXT)
    phones = {"RED": "r e d", "GREEN": "g r ii n", "ONE": "w o n", "TWO": "t u", "RARE": "r e r"}
    (tmp_path / "lexicon.txt").write_text("".join(f"{word} {phone}\n" for word, phone in phones.items()))
    return tmp_path / "data"


def own_lang(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f'. {REPOSITORY}/path.sh && exec "$@"', "bash", str(REPOSITORY / "local/own_lang.sh")]
    files = ["--lexicon", str(data.parent / "lexicon.txt"), "--lm-text", str(data.parent / "text.txt")]
    return subprocess.run(
        [*command, *options, *files, str(data), str(data / "lang"), str(data / "lang_tg")],
        cwd=REPOSITORY / "egs/ami/s5", env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), {"ONE", "TWO", "RARE"}),
        (("--max-words", "1"), {"ONE"}),
        (("--max-words", "3"), {"ONE", "TWO"}),  # RED is train's too
        (("--max-graph-mb", "0.001"), {"ONE"}),  # 1000 for each MB
    ],
)
def test_words_of_the_text(data: Path, options: tuple[str, ...], words: set[str]) -> None:
    done = own_lang(data, *options)
    if "--max-graph-mb" in options:  # no graph is that small, and the words have been chosen by then
        assert done.returncode == 1
        assert "allow more than 0.001 MB, or fewer words" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert (data / "lang_tg/G.fst").exists()
    known = {line.split()[0] for line in (data / "dict/lexicon.txt").read_text().splitlines()}
    assert known - {"<unk>", "[noise]", "[laughter]"} == {"RED", "GREEN"} | words


def test_no_number_of_words(data: Path) -> None:
    done = own_lang(data, "--max-words", "0")
    assert done.returncode == 1
    assert "--max-words expects a number from 1, got '0'" in done.stderr
    assert not (data / "dict").exists()
