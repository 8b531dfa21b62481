"""pytest plug-in of `make test STACK=torch2`: where k2 is not installed, a test that stops for want of it is skipped.

Only there: in the default environment a missing module is a failure.
"""

from collections.abc import Generator
from importlib.util import find_spec

import pytest

#: What requirements-torch2.in leaves out, and is not here either.
ABSENT = {name for name in ("k2", "_k2") if find_spec("k2") is None}


def skip_reason(error: BaseException | None) -> str | None:
    """Why to skip, when an absent module is at the root of the error."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in ABSENT:
            return f"no wheel of {error.name} for torch 2"
        error = error.__cause__ or error.__context__
    return None


def _skipping() -> Generator[None, object, object]:
    try:
        return (yield)
    except Exception as error:
        if reason := skip_reason(error):
            pytest.skip(reason)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, object]:
    report = yield
    call = getattr(report, "call", None)
    if report.outcome == "failed" and call and call.excinfo and (reason := skip_reason(call.excinfo.value)):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {reason}")
    return report
