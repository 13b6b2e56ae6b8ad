"""The page about conformance says what the tests say."""

from tests.process.conformance import document


def test_the_page_lists_the_cases_as_they_are() -> None:
    assert document.PAGE.read_text(encoding="utf-8") == document.render()


def test_every_case_names_the_section_it_proves() -> None:
    silent = [case.sentence for case in document.cases() if not case.sections and case.file != "test_document.py"]

    assert not silent
