"""What a text of the backend is, and which answer a broken one deserves (OCPP-J 1.6 section 4 and its errata)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_client.rpc import frames
from ocpp_client.rpc.frames import Call, CallError, CallResult, FrameMalformed, MessageTypeUnknown

READABLE = "FormationViolation"
DEEP = '[2,"1","Reset",' + "[" * 100_000

TABLE = [
    ('[2,"1","Reset",{"type"', "1"),
    ('[2,"1","Reset",{"type":NaN}]', "1"),
    ('[2,"1","Reset",{"type":1e999}]', "1"),
    ('[2,"1","Reset",{"type":"\\ud800"}]', "1"),
    (DEEP, "1"),
    ('[2,"1"]', "1"),
    ('[2,"1","Reset"]', "1"),
    ('[2,"1","Reset",{},{}]', "1"),
    ('[2,"1",5,{}]', "1"),
    ('[2,"1","Reset",[]]', "1"),
    ('[2,"1","Reset","text"]', "1"),
    ('[2,7,"Reset",{}]', "-1"),
    ("[2]", "-1"),
    ('[2,"","Reset",{}]', "-1"),
    ('[2,"' + "x" * 200 + '","Reset",{}]', "-1"),
    ("[2,", "-1"),
    ("{}", None),
    ("[]", None),
    ("nonsense", None),
    ("", None),
    ('[3,"1",', None),
    (b"\x00\x01", None),
    ("[3]", None),
    ("[4,null]", None),
]


@pytest.mark.parametrize(("text", "answered_id"), TABLE)
def test_j_4_a_broken_frame_gets_the_answer_of_the_table(text, answered_id):
    with pytest.raises(FrameMalformed) as broken:
        frames.parse(text)

    answer = broken.value.answer
    assert (answer.message_id if answer else None) == answered_id
    assert answer is None or answer.code == READABLE


@pytest.mark.parametrize("text", ['[1,"1"]', '[5,"1","x",{}]', '["2","1","Reset",{}]', "[true]", "[null,1]", "[2.5]"])
def test_j_4_1_3_an_unknown_message_type_is_ignored(text):
    with pytest.raises(MessageTypeUnknown):
        frames.parse(text)


def test_j_4_2_null_stands_for_no_fields():
    assert frames.parse('[2,"1","ClearCache",null]') == Call(message_id="1", action="ClearCache", payload={})
    assert frames.parse('[3,"1",null]') == CallResult(message_id="1", payload={})


@pytest.mark.parametrize("text", ['[4,"1","X"]', '[4,"1","X","d"]', '[4,"1","X",null,null]', '[4,"1","X","d",{},1]'])
def test_a_crippled_refusal_is_still_a_refusal(text):
    answer = frames.parse(text)
    assert isinstance(answer, CallError)
    assert (answer.message_id, answer.code) == ("1", "X")


@pytest.mark.parametrize("text", ['[3,"1"]', '[3,"1",[]]', '[3,"1",5,5]', '[4,"1"]', '[4,"1",7]'])
def test_a_crippled_answer_ends_the_waiting(text):
    assert isinstance(frames.parse(text), CallError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=10,
)


@given(json_values | st.lists(json_values, max_size=6))
def test_any_json_is_a_frame_or_refused(content):
    check(json.dumps(content))


@given(st.text(max_size=60), st.integers(0, 60), st.text(max_size=3))
def test_any_mutation_of_a_call_is_a_frame_or_refused(action, place, noise):
    text = frames.encode(Call(message_id="id", action=action, payload={"key": "value"}))
    check(text[:place] + noise + text[place + 1 :])


def check(text):
    frame: frames.Frame | None
    try:
        frame = frames.parse(text)
    except FrameMalformed as broken:
        frame = broken.answer
    except MessageTypeUnknown:
        return
    if frame is not None:
        frames.encode(frame).encode()


@given(st.text(max_size=36).filter(bool), st.text(max_size=300))
def test_what_is_written_can_be_read(message_id, description):
    for frame in (
        Call(message_id=message_id, action="Reset", payload={"type": "Soft"}),
        CallResult(message_id=message_id, payload={"a": 1.5}),
        CallError(message_id=message_id, code="GenericError", description=description[:255]),
    ):
        assert frames.parse(frames.encode(frame)) == frame
