"""Backend and people work on one list in any order; a small reference model says what must come out."""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from station.domain.authorization import AuthorizationStatus
from station.domain.commands import Origin
from station.models import BackendState
from station.services import configuration
from tests.db.whitelist.conftest import AT, MASTER_KEY
from whitelist.backend_list import BackendList
from whitelist.editing import AddCard, Change, ChangeCard, DeleteCard, RestoreCard, SaveRefused, purge_deleted, save
from whitelist.models import Card

LIMIT = 2
MASTER = MASTER_KEY.lower()
KEYS = st.sampled_from(["aa", "bb", "cc", "dd", "ee", "ff", MASTER])
STATUSES = st.sampled_from([AuthorizationStatus.ACCEPTED, AuthorizationStatus.BLOCKED])
ENTRIES = st.lists(st.tuples(KEYS, st.none() | STATUSES), max_size=6)
EDITS = st.lists(
    st.one_of(
        st.builds(AddCard, uid=KEYS, authorization=STATUSES),
        st.builds(ChangeCard, key=KEYS, uid=KEYS, group=st.just(""), expires_at=st.none(), authorization=STATUSES),
        st.builds(DeleteCard, key=KEYS),
        st.builds(RestoreCard, key=KEYS),
    ),
    min_size=1,
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("Full"), st.integers(-1, 9), ENTRIES),
        st.tuples(st.just("Differential"), st.integers(-1, 9), ENTRIES),
        st.tuples(st.just("save"), st.just(0), EDITS),
        st.tuples(st.just("reboot"), st.just(0), st.just([])),
    ),
    max_size=8,
)
Row = tuple[str, str]


@dataclass
class Model:
    """The list as dictionaries: key to source and status."""

    present: dict[str, Row] = field(default_factory=dict)
    deleted: dict[str, Row] = field(default_factory=dict)
    version: int = 0

    def too_long(self, present: dict[str, Row]) -> bool:
        return len(present.keys() - {MASTER}) > LIMIT

    def take(self, kind: str, version: int, entries: list[tuple[str, AuthorizationStatus | None]]) -> str:
        names = [key for key, _ in entries]
        clears = (kind, version, names) == ("Full", 0, [])
        if version <= 0 and not clears:
            return "Failed"
        if kind == "Differential" and version <= self.version:
            return "VersionMismatch"
        if len(set(names)) < len(names) or (kind == "Full" and any(status is None for _, status in entries)):
            return "Failed"
        kept = {key: row for key, row in self.present.items() if kind == "Differential" or row[0] == "local"}
        present = {key: row for key, row in kept.items() if key not in names}
        present |= {key: ("backend", status.value) for key, status in entries if status is not None}
        if self.too_long(present):
            return "Failed"
        held = kind == "Full" or any(source == "backend" for source, _ in self.present.values())
        empty = not any(source == "backend" for source, _ in present.values())
        self.version = 0 if held and empty else version
        self.present = present
        self.deleted = {key: row for key, row in self.deleted.items() if key not in names}
        return "Accepted"

    def save(self, edits: list[Change]) -> bool:
        present, deleted = dict(self.present), dict(self.deleted)
        for edit in edits:
            if not self._edit(edit, present, deleted):
                return False
        if self.too_long(present) and any(isinstance(edit, AddCard | RestoreCard) for edit in edits):
            return False
        self.present, self.deleted = present, deleted
        return True

    def _edit(self, edit: Change, present: dict[str, Row], deleted: dict[str, Row]) -> bool:
        match edit:
            case AddCard(uid=uid, authorization=status):
                if uid in present:
                    return False
                deleted.pop(uid, None)
                present[uid] = ("local", status.value)
            case ChangeCard(key=key, uid=uid, authorization=status):
                if key not in present or (uid != key and uid in present):
                    return False
                if uid != key or present[key][1] != status.value:
                    del present[key]
                    deleted.pop(uid, None)
                    present[uid] = ("local", status.value)
            case DeleteCard(key=key):
                if key in present:
                    deleted[key] = ("local", present.pop(key)[1])
                return key in deleted
            case RestoreCard(key=key):
                if key in deleted:
                    present[key] = deleted.pop(key)
                return key in present
        return True


def rows(*, deleted: bool) -> dict[str, Row]:
    found = Card.objects.deleted() if deleted else Card.objects.present()
    return {key: (source, status) for key, source, status in found.values_list("key", "source", "authorization")}


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_whatever_backend_and_people_do_the_list_is_what_the_rules_say(steps) -> None:
    Card.objects.all().delete()
    BackendState.objects.update(list_version=0)
    configuration.change({"LocalAuthListMaxLength": str(LIMIT)}, origin=Origin.LOCAL, actor="test", at=AT)
    model = Model()

    for kind, version, content in steps:
        if kind == "save":
            try:
                save(content, at=AT, actor="admin")
                saved = True
            except SaveRefused:
                saved = False
            assert saved == model.save(content)
        elif kind == "reboot":
            purge_deleted()
            model.deleted.clear()
        else:
            entries = [
                {"idTag": key.upper()} | ({"idTagInfo": {"status": status.value}} if status else {})
                for key, status in content
            ]
            assert BackendList().apply(version, kind, entries, AT) == model.take(kind, version, content)

        assert rows(deleted=False) == model.present
        assert rows(deleted=True) == model.deleted
        assert BackendList().version() == model.version
