"""The three roles that can be given to people, as groups of Django."""

from typing import Any

from django.db import migrations

_NAMES = ("viewer", "operator", "installer")


def make(apps: Any, _editor: Any) -> None:
    groups = apps.get_model("auth", "Group").objects
    for name in _NAMES:
        groups.get_or_create(name=name)


def remove(apps: Any, _editor: Any) -> None:
    apps.get_model("auth", "Group").objects.filter(name__in=_NAMES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("station", "0012_address_trial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [migrations.RunPython(make, remove)]
