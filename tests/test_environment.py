"""The lock files, and path.sh in the bare environments in which queues start jobs."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
RECIPE = REPOSITORY / "egs" / "ami" / "s5"
K2_WHEEL = "5b5f709b12b9cd092b583984d0b7d940c9f898101259c998d68d1f4adefa48d4"  # the one for Python 3.11
LOCKS = ["requirements.lock", "requirements-torch2.lock"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, tuple[str, list[str]]]:
    """Package -> (version, sha256 hashes) of a lock file; every line must be understood."""
    text = (REPOSITORY / name).read_text().replace("\\\n", " ")
    packages = {}
    for line in text.splitlines():
        requirement = line.partition("#")[0].strip()
        if requirement:
            match = re.fullmatch(
                r"([\w.-]+)==([\w.!+]+)(?: ; [\w.'<>=! ]+?)?((?:\s+--hash=sha256:[0-9a-f]{64})*)", requirement
            )
            assert match, f"{name}: not pinned: {requirement}"
            assert canonical(match[1]) not in packages, f"{name}: {match[1]} differs between versions of Python"
            packages[canonical(match[1])] = (match[2], re.findall(r"sha256:(\w+)", match[3]))
    return packages


def wanted(*names: str) -> dict[str, str]:
    """Package -> version condition of requirements files, with those that they include."""
    packages: dict[str, str] = {}
    for line in "\n".join((REPOSITORY / name).read_text() for name in names).splitlines():
        requirement = line.partition("#")[0].strip()
        if requirement.startswith("-r "):
            packages |= wanted(requirement[3:])
        elif requirement:
            match = re.fullmatch(r"([\w.-]+?)((?:==|<|>=)[\w.]+)?", requirement)
            assert match, f"{names}: {requirement}"
            packages[canonical(match[1])] = match[2] or ""
    return packages


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_hash(name):
    packages = locked(name)
    assert len(packages) > 40
    assert [package for package, (_, hashes) in packages.items() if not hashes] == []


#: lock -> what it locks, and what of that it leaves out
STACKS = {
    "requirements.lock": ("requirements.in", set()),
    "requirements-torch2.lock": ("requirements-torch2.in", {"torch"}),
}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_what_is_wanted(name):
    packages = locked(name)
    stack, unlocked = STACKS[name]
    requirements = wanted(stack, "requirements-dev.in")
    assert requirements.keys() - packages.keys() == unlocked
    for package, condition in requirements.items():
        if condition.startswith("=="):
            assert package in unlocked or packages[package][0] == condition[2:]
    assert packages["numpy"][0].startswith("1." if name == "requirements.lock" else "2.")


def test_stacks_have_the_same_packages_of_what_they_share():
    """So that results differ by torch and numpy alone, if at all."""
    first, second = (locked(name) for name in LOCKS)
    for package in wanted("requirements-common.in", "requirements-dev.in"):
        assert first[package][0] == second[package][0], package


def test_k2_can_only_be_the_wheel_of_this_python():
    assert locked("requirements.lock")["k2"] == ("1.23.4", [K2_WHEEL])


def test_only_k2_is_missing_beside_torch_2():
    missing = wanted("requirements.in").keys() - wanted("requirements-torch2.in").keys()
    assert missing - {"six"} == {"k2"}  # six: for torch 1


OPENFST = (
    "kaldifst 1.8 and later carry another OpenFst, whose unique symbols make kaldi-hmm-gmm hang at import or reject its types: "
    "upgrade both together, and only after the GMM, graph and FST tests pass"
)


@pytest.mark.parametrize("name", ["requirements-common.in", *LOCKS, "pyproject.toml"])
def test_kaldifst_is_the_one_that_kaldi_hmm_gmm_was_built_with(name):
    text = (REPOSITORY / name).read_text()
    pins = dict(re.findall(r"^\s*\"?(kaldifst|kaldi-hmm-gmm)==([\d.]+)", text, re.MULTILINE))
    assert pins == {"kaldifst": "1.7.17", "kaldi-hmm-gmm": "1.1.4"}, OPENFST


def test_plug_in_skips_what_lacks_k2_where_it_is_not_installed(tmp_path):
    lacking = "raise ModuleNotFoundError(name='k2.ragged')\n"
    (tmp_path / "test_module.py").write_text(lacking)
    (tmp_path / "test_cases.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        f"def lattice():\n    {lacking}"
        "def test_setup(lattice): pass\n"
        f"def test_call():\n    {lacking}"
        "def test_cause():\n"
        f"    try:\n        {lacking}"
        "    except ImportError as error: raise RuntimeError from error\n"
        "def test_other_module(): raise ModuleNotFoundError(name='k22')\n"
        "def test_failure(): assert False\n"
        "def test_success(): pass\n"
    )
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.support.without_k2",
            "-c",
            os.devnull,
            "--continue-on-collection-errors",
            str(tmp_path),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    counts = "4 failed, 1 passed, 2 errors" if find_spec("k2") else "2 failed, 1 passed, 4 skipped"
    assert counts in result.stdout, result.stdout


@pytest.mark.parametrize("name", [*LOCKS, *(path.name for path in REPOSITORY.glob("requirements*.in"))])
def test_no_index_is_prescribed(name):
    assert not re.search(r"https?://|--index-url|--find-links|@", (REPOSITORY / name).read_text())


def bash(script: str, directory: Path = RECIPE, **environment: str) -> subprocess.CompletedProcess:
    """Run bash with nothing of our environment but what is given, and PYTHONPATH, by which a second checkout shows itself."""
    own = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    environment = {"PATH": "/usr/bin:/bin"} | own | environment
    return subprocess.run(
        ["/bin/bash", "-c", script], cwd=directory, env=environment, capture_output=True, text=True, timeout=60
    )


def virtual_environment() -> str:
    if sys.prefix == sys.base_prefix:
        pytest.skip("not in a virtual environment")
    return sys.prefix


SHOW = 'python3 -c "import sys, hdnn_nnet, numpy; print(sys.prefix, hdnn_nnet.__file__, sep=chr(10))"'


def test_path_sh_makes_a_job_whole_that_has_only_path():
    """What queue.pl leaves of the environment."""
    prefix = virtual_environment()
    result = bash(f"set -eu; . ./path.sh; {SHOW}; command -v run.py hdnn", PATH=f"{prefix}/bin:/usr/bin:/bin")
    assert result.returncode == 0, result.stderr
    found = result.stdout.splitlines()
    assert found[:2] == [prefix, str(REPOSITORY / "hdnn_nnet" / "__init__.py")]
    assert found[2:] == [str(REPOSITORY / "steps_py" / "run.py"), f"{prefix}/bin/hdnn"]
    assert result.stderr == ""


def test_path_sh_takes_the_checkouts_own_environment_where_none_is_given(tmp_path):
    checkout = tmp_path / "a checkout"
    (checkout / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(REPOSITORY / "path.sh", checkout)
    shutil.copy("/bin/true", checkout / ".venv" / "bin" / "python3")
    result = bash('set -eu; . ./path.sh; command -v python3; echo "$VIRTUAL_ENV"', directory=checkout)
    assert result.stdout == f"{checkout}/.venv/bin/python3\n{checkout}/.venv\n"


def test_path_sh_prefers_the_active_environment(tmp_path):
    prefix = virtual_environment()
    result = bash(f". ./path.sh; {SHOW}", VIRTUAL_ENV=prefix, PATH="/usr/bin:/bin")
    assert result.stdout.splitlines()[0] == prefix
    result = bash(
        f". ./path.sh; {SHOW}; echo $VIRTUAL_ENV", VIRTUAL_ENV=str(tmp_path), PATH=f"{prefix}/bin:/usr/bin:/bin"
    )
    assert result.stdout.splitlines()[0] == prefix  # an environment that is gone


def test_path_sh_works_from_anywhere_and_more_than_once(tmp_path):
    show = 'echo "$PATH|$LC_ALL|${VIRTUAL_ENV-}|$-"; compgen -v _hdnn; compgen -A function _hdnn; true'
    path = f"{sys.prefix}/bin:/usr/bin:/x y:/bin"
    once = bash(f"set -u; . ./path.sh; {show}", PATH=path)
    twice = bash(f"set -u; . '{REPOSITORY}/path.sh'; . '{RECIPE}/path.sh'; {show}", directory=tmp_path, PATH=path)
    assert once.stderr == ""
    assert once.stdout == twice.stdout
    assert once.stdout.count("\n") == 1
    search, locale = once.stdout.split("|")[:2]
    directories = search.split(":")
    assert len(directories) == len(set(directories))
    assert directories[-3:] == ["/usr/bin", "/x y", "/bin"]
    assert {str(REPOSITORY / "steps_py"), str(REPOSITORY / "local")} <= set(directories)
    assert locale == "C"


def test_path_sh_is_understood_by_a_plain_sh():
    """Kaldi's validate_lang.pl sources it by system(), that is by sh."""
    path = f"{sys.prefix}/bin:/usr/bin:/x y:/bin:/usr/bin"
    by_sh = bash("sh -euc '. ./path.sh; echo \"$PATH|$LC_ALL\"'", PATH=path)
    assert by_sh.stderr == ""
    assert by_sh.stdout == bash('. ./path.sh; echo "$PATH|$LC_ALL"', PATH=path).stdout


def test_path_sh_leaves_threads_and_a_pythonpath_alone():
    result = bash('. ./path.sh; echo "$PYTHONPATH ${OMP_NUM_THREADS-}"', PYTHONPATH="/own", OMP_NUM_THREADS="3")
    assert result.stdout == "/own 3\n"
    assert bash(". ./path.sh; env | grep -c THREADS").stdout == "0\n"


def test_path_sh_says_where_the_package_is_not_installed(tmp_path):
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", environment / "bin" / "python3")
    result = bash("set -eu; . ./path.sh; echo went on", VIRTUAL_ENV=str(environment))
    assert result.stdout == "went on\n"
    assert re.fullmatch(f"path.sh: no command hdnn; .* -e {REPOSITORY}' adds it to yours\n", result.stderr)


def fake_kaldi(directory: Path) -> Path:
    for name in ("egs/wsj/s5/utils", "src/bin", "src/latbin", "src/matrix", "tools/openfst/bin"):
        (directory / name).mkdir(parents=True)
    shutil.copy("/bin/true", directory / "src" / "latbin" / "lattice-copy")
    (directory / "egs/wsj/s5/utils/parse_options.sh").write_text("echo the wrong one\n")
    return directory


def test_kaldi_is_used_where_kaldi_root_names_it(tmp_path):
    root = fake_kaldi(tmp_path / "kaldi")
    result = bash(". ./path.sh && command -v lattice-copy && . parse_options.sh && echo $PATH", KALDI_ROOT=str(root))
    lines = result.stdout.splitlines()
    assert lines[0] == str(root / "src" / "latbin" / "lattice-copy")
    assert len(lines) == 2  # parse_options.sh is ours
    assert lines[1].split(":")[-4:] == [
        str(root / d) for d in ("egs/wsj/s5/utils", "tools/openfst/bin", "src/bin", "src/latbin")
    ]


def test_a_wrong_kaldi_root_stops_with_one_line(tmp_path):
    result = bash("set -e; . ./path.sh; echo went on", KALDI_ROOT=str(tmp_path))
    assert result.returncode == 1
    assert result.stdout == ""
    assert str(tmp_path) in result.stderr
    assert result.stderr.count("\n") == 1


def test_kaldi_is_left_out_where_it_is_not_named():
    result = bash(". ./path.sh; echo $PATH")
    assert "kaldi" not in result.stdout.lower().replace(str(REPOSITORY).lower(), "")


def test_cmd_sh_defaults_to_this_machine_and_yields_to_the_environment():
    show = '. ./cmd.sh; echo "$train_cmd|$decode_cmd|$cuda_cmd"'
    assert bash(f"set -eu; {show}").stdout == "run.py|run.py|run.py\n"
    assert bash(show, train_cmd="queue.pl --mem 2G").stdout == "queue.pl --mem 2G|run.py|run.py\n"


def make(*arguments: str, directory: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess:
    """As from a shell, though these tests may have been started by `make test STACK=torch2`, which hands its variables on."""
    handed_on = {"STACK", "PYTHON", "K2", "TORCH"}
    return subprocess.run(
        ["make", "-C", str(directory), *arguments],
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k not in handed_on} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_without_a_goal_lists_the_goals():
    result = make()
    assert result.returncode == 0
    for goal in ("mini", "test", "lint", "bench", "clean"):
        assert f"make {goal}" in result.stdout
    assert "STACK=torch2" in result.stdout


def test_make_says_what_to_do_without_python(tmp_path):
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path)
    result = make("env", directory=tmp_path, PYTHON="/no/such/python")
    assert result.returncode != 0
    assert "no Python 3.11" in result.stderr
    assert not (tmp_path / ".venv").exists()


STAND_IN = """#!/bin/sh
# A Python whose `-m venv --clear DIRECTORY` copies itself, and whose pip obeys the file pip-status.
case "$1 $2" in
  "-m venv") rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
  "-m pip") echo run >> pip-runs; exit "$(cat pip-status)" ;;
esac
"""


def test_an_interrupted_installation_is_done_again(tmp_path):
    """The stamp comes last and goes first."""
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path)
    python = tmp_path / "stand-in"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    stamp, runs = tmp_path / ".venv" / ".ready", tmp_path / "pip-runs"

    def install(pip_status: int) -> int:
        (tmp_path / "pip-status").write_text(str(pip_status))
        runs.write_text("")
        return make("env", directory=tmp_path, PYTHON=str(python)).returncode

    assert install(0) == 0
    assert stamp.exists()
    assert install(0) == 0
    assert runs.read_text() == ""  # nothing to do
    os.utime(stamp, (0, 0))  # older than the lock
    assert install(1) != 0
    assert not stamp.exists()
    assert install(0) == 0
    assert runs.read_text() == "run\nrun\n"
    assert stamp.exists()


def test_ci_runs_documented_goals_only():
    lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert {"make lint", "make test", "make test STACK=torch2"} <= set(commands)
    readme = " ".join((REPOSITORY / "README.md").read_text().split())
    for command in commands:
        assert re.search(rf"{re.escape(command)}(?![\w-])", readme), command


def test_stacks_and_their_options_are_checked(tmp_path):
    shutil.copy(REPOSITORY / "Makefile", tmp_path)  # what is not refused would replace the environment at work
    assert "STACK must be torch1 or torch2" in make("env", "STACK=torch3", directory=tmp_path).stderr
    assert "are for STACK=torch2" in make("env", "K2=x.whl", directory=tmp_path).stderr
    assert "are for STACK=torch2" in make("env", "TORCH=torch==2.12.0", directory=tmp_path).stderr


def test_another_python_or_k2_is_installed_anew(tmp_path):
    """`make test STACK=torch2` takes what is there; asked for something else, it installs that."""
    for name in ("Makefile", "requirements-torch2.lock", "requirements-torch2.in"):
        shutil.copy(REPOSITORY / name, tmp_path)
    pythons = [tmp_path / name for name in ("one", "two")]
    for python in pythons:
        python.write_text(STAND_IN)
        python.chmod(0o755)
    (tmp_path / "pip-status").write_text("0")
    runs = tmp_path / "pip-runs"

    def installs(*arguments: str) -> bool:
        runs.write_text("")
        done = make("env", "STACK=torch2", *arguments, directory=tmp_path, PYTHON="")
        assert done.returncode == 0, done.stderr
        return bool(runs.read_text())

    one, two = (f"PYTHON={python}" for python in pythons)
    assert installs(one)
    assert not installs()
    assert not installs(one)
    assert installs(two)
    assert not installs()
    assert installs(two, "K2=k2.whl")
    assert not installs("K2=k2.whl")
    assert installs(two, "K2=k2.whl", "TORCH=torch==2.12.0")
    assert not installs(two)
