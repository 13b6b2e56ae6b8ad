"""Which columns of a later version's tables are taken over."""

from station.domain.table_fitting import Column, neutral, plan

ID = Column(name="id", type="integer", is_key=True)
TEXT = Column(name="text", type="varchar(20)", is_required=True)


def test_columns_both_know_are_taken_and_the_others_kept_from_before():
    (taking,) = plan({"a": [ID, TEXT]}, {"a": [ID, Column(name="new")]})

    assert (taking.key, taking.shared, taking.kept) == (("id",), ("id",), (TEXT,))


def test_tables_that_only_one_version_knows_are_left_alone():
    assert plan({"old": [ID]}, {"new": [ID]}) == ()


def test_a_table_with_another_key_is_left_alone():
    assert plan({"a": [ID]}, {"a": [Column(name="uuid", is_key=True)]}) == ()


def test_a_required_column_of_a_new_row_gets_the_nothing_of_its_type():
    assert neutral(TEXT) == ""
    assert neutral(Column(name="n", type="bigint unsigned", is_required=True)) == 0
    assert neutral(Column(name="d", type="datetime", is_required=True)) == "1970-01-01 00:00:00"
    assert neutral(Column(name="x", type="text")) is None
