"""steps_py/run.py against its documented behaviour, and against Kaldi's own run.pl where Kaldi is there."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN_PY = Path(__file__).resolve().parent.parent / "steps_py" / "run.py"


def launch(directory: Path, *arguments: str, program: Path = RUN_PY, **environment: str) -> subprocess.CompletedProcess:
    interpreter = sys.executable if program.suffix == ".py" else "perl"
    return subprocess.run(
        [interpreter, str(program), *arguments],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def body(log: Path) -> list[str]:
    """What the command wrote: the log without the launcher's own lines, whose head ends with a bare #."""
    lines = log.read_text().splitlines()
    return [line for line in lines[lines.index("#") :] if not line.startswith("#")]


def ended(log: Path) -> str:
    match = re.search(r"^# Ended \((.*)\) at .*, elapsed time \d+ seconds$", log.read_text(), re.MULTILINE)
    assert match, log.read_text()
    return match[1]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.02)


def process_is_running(pid: int) -> bool:
    """A zombie that nobody has collected yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_array_substitutes_the_job_number_in_log_and_command(tmp_path):
    result = launch(tmp_path, "JOB=2:4", "log/x.JOB.log", "echo", "part JOB of", "JOB", "|", "cat", ">", "out.JOB")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert sorted(p.name for p in tmp_path.glob("out.*")) == ["out.2", "out.3", "out.4"]
    assert (tmp_path / "out.3").read_text() == "part 3 of 3\n"
    log = (tmp_path / "log" / "x.3.log").read_text().splitlines()
    assert log[0] == '# echo "part 3 of" 3 | cat > out.3'
    assert log[1].startswith("# Started at ")
    assert log[-2].startswith("# Accounting: time=")
    assert ended(tmp_path / "log" / "x.3.log") == "code 0"


def test_log_holds_both_streams_of_the_command(tmp_path):
    assert launch(tmp_path, "a/b/x.log", "echo", "to-stdout;", "echo", "to-stderr", ">&2").returncode == 0
    assert body(tmp_path / "a/b/x.log") == ["to-stdout", "to-stderr"]


@pytest.mark.parametrize(
    "options",
    [
        ["--mem", "2G", "--num-threads", "2", "JOB=1:2"],
        ["JOB=1:2", "--gpu", "0", "-sync", "y", "-V"],
        ["-pe", "smp", "4", "-l", "hostname=b*", "JOB=1:2", "--max-jobs-run", "1"],
    ],
)
def test_queue_options_are_ignored_before_and_after_the_array(tmp_path, options):
    assert launch(tmp_path, *options, "x.JOB.log", "touch", "done.JOB").returncode == 0
    assert (tmp_path / "done.1").exists()
    assert (tmp_path / "done.2").exists()


def test_failure_names_the_logs_and_shows_the_end_of_the_first(tmp_path):
    result = launch(tmp_path, "JOB=1:4", "x.JOB.log", "echo", "JOB", "speaks;", "test", "$((JOB%2))", "=", "1")
    assert result.returncode == 1
    assert "2 / 4 failed" in result.stderr
    assert "x.2.log x.4.log" in result.stderr
    assert "2 speaks" in result.stderr
    assert "4 speaks" not in result.stderr
    assert ended(tmp_path / "x.2.log") == "code 1"
    assert ended(tmp_path / "x.3.log") == "code 0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage"),
        (["x.log"], "usage"),
        (["JOB=3:2", "x.JOB.log", "true"], "ascending"),
        (["JOB=0:2", "x.JOB.log", "true"], "positive"),
        (["JOB=1:2", "x.log", "true"], "put JOB into x.log"),
        (["--max-jobs-run", "none", "x.log", "true"], "positive number"),
        (["--pick", "some", "x.log", "true"], "--pick"),
        (["--gpu", "yes", "x.log", "true"], "--gpu"),
    ],
)
def test_wrong_calls_run_nothing(tmp_path, arguments, said):
    result = launch(tmp_path, *arguments)
    assert result.returncode == 1
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


def test_forgotten_array_is_pointed_out(tmp_path):
    result = launch(tmp_path, "x.JOB.log", "false")
    assert result.returncode == 1
    assert "no JOB=1:$nj" in result.stderr


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_jobs_at_a_time_than_asked_for(tmp_path, limit):
    (tmp_path / "count.sh").write_text("mkdir run.$1; ls -d run.* | wc -l >> at-once; sleep 0.3; rmdir run.$1\n")
    command = ["JOB=1:5", "x.JOB.log", "bash", "count.sh", "JOB"]
    assert launch(tmp_path, "--max-jobs-run", str(limit), *command).returncode == 0
    assert max(map(int, (tmp_path / "at-once").read_text().split())) == limit


def test_each_job_gets_a_gpu_of_its_own(tmp_path):
    show = ["JOB=1:4", "x.JOB.log", "echo", "$CUDA_VISIBLE_DEVICES;", "sleep", "0.2"]
    assert launch(tmp_path, "--gpu", "1", *show, CUDA_VISIBLE_DEVICES="4,7").returncode == 0
    assert {tuple(body(tmp_path / f"x.{job}.log")) for job in (1, 2)} == {("4",), ("7",)}
    assert launch(tmp_path, "--gpu", "2", *show, CUDA_VISIBLE_DEVICES="4,7").returncode == 0
    assert {tuple(sorted(body(tmp_path / f"x.{job}.log")[0].split(","))) for job in range(1, 5)} == {("4", "7")}


def test_pick_runs_only_what_its_log_asks_for(tmp_path):
    step = ["JOB=1:3", "x.JOB.log", "echo", "JOB", ">>", "ran;", "test", "!", "-e", "bad.JOB"]
    (tmp_path / "bad.2").touch()
    assert launch(tmp_path, *step).returncode == 1
    log = tmp_path / "x.3.log"
    log.write_text(re.sub("(?m)^# Ended.*\n", "", log.read_text()))  # as if the machine had gone down
    (tmp_path / "bad.2").unlink()
    (tmp_path / "ran").unlink()
    assert launch(tmp_path, "--pick", "incomplete", *step).returncode == 1  # 2 is still on record as failed
    assert (tmp_path / "ran").read_text() == "3\n"
    assert launch(tmp_path, "--pick", "failed", *step).returncode == 0
    assert (tmp_path / "ran").read_text() == "3\n2\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_children_and_lets_them_clean_up(tmp_path, number):
    child = "import os, signal, sys, time\n"
    child += "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), open('saved', 'w').close(), sys.exit(0)))\n"
    child += "open('pid.tmp', 'w').write(str(os.getpid())); os.rename('pid.tmp', 'pid'); time.sleep(60)\n"
    (tmp_path / "child.py").write_text(child)
    launcher = subprocess.Popen(
        [sys.executable, RUN_PY, "--max-jobs-run", "1", "JOB=1:2", "x.JOB.log", sys.executable, "child.py", "|", "cat"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(tmp_path / "pid")
    launcher.send_signal(number)
    _, errors = launcher.communicate(timeout=30)
    assert launcher.returncode == 128 + number
    assert number.name in errors
    assert (tmp_path / "saved").exists()
    assert not process_is_running(int((tmp_path / "pid").read_text()))
    assert "# Ended" not in (tmp_path / "x.1.log").read_text()
    assert not (tmp_path / "x.2.log").exists()


def test_unwritable_log_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    result = launch(tmp_path, "file/x.log", "true")
    assert result.returncode == 1
    assert re.fullmatch(r"run.py: cannot run the jobs: .*file.*\n", result.stderr)


AWKWARD = {
    "plain": ["echo", "a", "b"],
    "spaces": ["echo", "a  b", "c"],
    "empty argument": ["printf", "<%s>", "", "x"],
    "double quotes inside": ["echo", 'say "a  b" twice'],
    "single quote inside": ["echo", "it's  one"],
    "pipe": ["echo", "abc", "|", "tr", "a", "z"],
    "redirection": ["echo", "abc", ">", "out.JOB"],
    "and, or": ["false", "||", "echo", "rescued", "&&", "echo", "on"],
    "semicolon word": ["echo", "a;", "echo", "b"],
    "variable in a bare word": ["echo", "$HOME"],
    "variable in double quotes": ["echo", "is  $HOME"],
    "kaldi pipe": ["cat", "ark:gunzip -c ali.JOB.gz |", "||", "true"],
    "glob": ["echo", "/etc/host?"],
    "glob in quotes": ["echo", "/etc/host?  *"],
    "command substitution": ["echo", "$(echo in  side)"],
    "backslash": ["echo", "a\\b", "c\\ d e"],
    "job twice": ["echo", "JOB-JOB", "x JOB"],
    "tab": ["echo", "a\tb"],
    "two lines": ["printf", "%s", "a\nb\n"],
    "subshell": ["(", "echo", "in;", "exit", "3", ")"],
    "no pipefail": ["false", "|", "true"],
    "pipe's last fails": ["true", "|", "false"],
    "exit code": ["exit", "7"],
    "not found": ["no-such-command-at-all"],
    "killed command": ["bash", "-c", "kill -9 $$"],
    "killed shell": ["kill", "-9", "$$"],
    "standard input is empty": ["cat"],
    "background": ["sleep", "0.1", "&", "wait;", "echo", "waited"],
    "error stream": ["echo", "x", ">&2"],
    "unicode": ["echo", "zwölf"],
    "long": ["echo", *(f"word{i}" for i in range(20000))],
}


@pytest.mark.kaldi
@pytest.mark.parametrize("words", AWKWARD.values(), ids=AWKWARD.keys())
def test_same_as_run_pl(tmp_path, kaldi_root, words):
    theirs_program = kaldi_root / "egs/wsj/s5/utils/parallel/run.pl"
    seen = []
    for directory, program in ((tmp_path / "ours", RUN_PY), (tmp_path / "theirs", theirs_program)):
        directory.mkdir()
        result = launch(directory, "JOB=1:2", "log/x.JOB.log", *words, program=program)
        logs = [directory / "log" / f"x.{job}.log" for job in (1, 2)]
        outputs = {p.name: p.read_text() for p in sorted(directory.glob("out.*"))}
        # bash gives the line number of its own input, which is one line here and there
        seen.append((result.returncode, result.stdout, [body(p) for p in logs], [ended(p) for p in logs], outputs))
    assert seen[0] == seen[1]
