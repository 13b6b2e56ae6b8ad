"""Repeated calls get their answer again, and what is kept for that has a size."""

from ocpp_client.incoming.answered_calls import KEPT_S, MAX_BYTES, AnsweredCalls, fingerprint

NOW_S = 1000.0


def digest(text: str) -> bytes:
    return fingerprint(text)[0]


def test_the_same_call_under_the_same_id_finds_its_answer() -> None:
    answered = AnsweredCalls()
    answered.remember("7", digest("call"), "answer", NOW_S)

    assert answered.find("7", digest("call"), NOW_S + 1) == "answer"
    assert answered.find("7", digest("another call"), NOW_S + 1) is None
    assert answered.find("8", digest("call"), NOW_S + 1) is None
    assert answered.find("7", digest("call"), NOW_S + KEPT_S) is None


def test_a_thousand_small_answers_are_kept() -> None:
    answered = AnsweredCalls()
    for number in range(1000):
        answered.remember(str(number), digest("call"), '[3,"id",{"status":"Accepted"}]', NOW_S)

    assert answered.find("0", digest("call"), NOW_S) is not None


def test_however_great_the_answers_they_take_no_more_than_their_bound_and_the_oldest_go_first() -> None:
    answered = AnsweredCalls()
    for number in range(50):
        answered.remember(str(number), digest("call"), "x" * 100_000, NOW_S)

        assert answered.size <= MAX_BYTES
        assert answered.find(str(number), digest("call"), NOW_S) is not None
    assert answered.find("0", digest("call"), NOW_S) is None

    answered.remember("too great", digest("call"), "x" * (MAX_BYTES + 1), NOW_S)
    assert answered.size == 0


def test_an_id_used_again_counts_once() -> None:
    answered = AnsweredCalls()
    answered.remember("7", digest("call"), "x" * 1000, NOW_S)
    once = answered.size
    answered.remember("7", digest("another call"), "x" * 1000, NOW_S)

    assert answered.size == once
    answered.clear()
    assert answered.size == 0
    assert answered.find("7", digest("another call"), NOW_S) is None


def test_the_size_of_a_frame_is_counted_in_bytes() -> None:
    assert fingerprint("ä")[1] == 2
    assert fingerprint("ä") == fingerprint("ä".encode())
