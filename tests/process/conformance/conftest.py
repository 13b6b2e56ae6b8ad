"""One started station and one central system for all cases of a module, in their basic state before each."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.process.conformance.bench")

from tests.process.conformance.bench import ConformanceBench  # noqa: E402 – only what is imported later shows its values


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "section(*names): sections of the standard the case proves")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/conformance/" in str(item.path):
            item.add_marker(pytest.mark.process)


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConformanceBench]:
    with ConformanceBench.open(tmp_path_factory.mktemp("conformance")) as bench:
        yield bench


@pytest.fixture
def bench(shared_bench: ConformanceBench) -> Iterator[ConformanceBench]:
    shared_bench.begin()
    yield shared_bench
    shared_bench.restore()
    shared_bench.judge()
