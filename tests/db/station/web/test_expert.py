"""What expert mode adds is listed; whom it gives nothing is not asked."""

import pytest
from django.test import Client
from django.utils.html import escape

from station.domain.roles import Role
from station.web import setting_labels
from tests.db.station.web.conftest import Parts
from tests.db.station.web.test_roles import browser_of


def test_the_list_names_every_setting_that_a_page_shows_to_experts_only(browser: Client, parts: Parts):
    listed = browser.get("/profile").content.decode().partition("What expert mode adds")[2]

    for settings in setting_labels.PAGES.values():
        for setting in settings:
            assert (escape(str(setting.label)) in listed) or not setting.expert, setting.key
    assert "Upload of an update file" in listed


@pytest.mark.parametrize(("role", "is_asked"), [(Role.VIEWER, 0), (Role.OPERATOR, 1), (Role.INSTALLER, 1)])
def test_who_changes_no_settings_is_not_asked(db, parts: Parts, role: Role, is_asked: int):
    page = browser_of(role).get("/profile").content.decode()

    assert page.count('id="advanced-form"') == is_asked
    assert ("Upload of an update file" in page) is (role is Role.INSTALLER)


def test_every_page_with_settings_is_known_to_the_list(db, parts: Parts):
    from importlib import import_module
    from pkgutil import iter_modules

    from station.web import pages

    modules = [import_module(f"station.web.pages.{each.name}") for each in iter_modules(pages.__path__)]

    found = [module.SETTINGS for module in modules if hasattr(module, "SETTINGS")]
    assert sorted(map(id, found)) == sorted(map(id, setting_labels.PAGES.values()))
