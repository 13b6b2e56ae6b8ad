"""The boot states of OCPP 1.6 section 4.2, cell by cell and in random order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_client.connection import registration as boot
from ocpp_client.connection.registration import Phase, Registration

ACCEPTED = boot.BootAnswered(status="Accepted", interval_s=300)
PENDING = boot.BootAnswered(status="Pending", interval_s=20)
REJECTED = boot.BootAnswered(status="Rejected", interval_s=0)
CONNECTED, LOST = boot.Connected(), boot.Disconnected()
CHANGED = boot.Connected(content_changed=True)

CELLS = [
    (Phase.DUE, CONNECTED, Phase.ASKED, [boot.SendBoot]),
    (Phase.ASKED, ACCEPTED, Phase.ACCEPTED, [boot.Begin]),
    (Phase.ASKED, PENDING, Phase.PENDING, [boot.RetryIn]),
    (Phase.ASKED, REJECTED, Phase.REJECTED, [boot.RetryIn]),
    (Phase.ASKED, boot.BootFailed(), Phase.UNANSWERED, [boot.RetryIn]),
    (Phase.ASKED, LOST, Phase.DUE, []),
    (Phase.UNANSWERED, boot.RetryDue(), Phase.ASKED, [boot.SendBoot]),
    (Phase.UNANSWERED, LOST, Phase.DUE, []),
    (Phase.PENDING, boot.RetryDue(), Phase.ASKED, [boot.SendBoot]),
    (Phase.PENDING, boot.BootTriggered(), Phase.ASKED, [boot.SendBoot]),
    (Phase.PENDING, LOST, Phase.PENDING, []),
    (Phase.PENDING, CONNECTED, Phase.PENDING, []),
    (Phase.REJECTED, boot.RetryDue(), Phase.ASKED, [boot.SendBoot]),
    (Phase.REJECTED, boot.BootTriggered(), Phase.REJECTED, []),
    (Phase.REJECTED, CONNECTED, Phase.REJECTED, []),
    (Phase.ACCEPTED, LOST, Phase.ACCEPTED, []),
    (Phase.ACCEPTED, CONNECTED, Phase.ACCEPTED, [boot.Resume]),
    (Phase.ACCEPTED, CHANGED, Phase.ASKED, [boot.SendBoot]),
    (Phase.ACCEPTED, boot.BootTriggered(), Phase.ACCEPTED, [boot.SendBoot]),
    (Phase.ACCEPTED, ACCEPTED, Phase.ACCEPTED, [boot.Begin]),
    (Phase.ACCEPTED, PENDING, Phase.PENDING, [boot.RetryIn]),
    (Phase.ACCEPTED, boot.BootFailed(), Phase.ACCEPTED, []),
    (Phase.ACCEPTED, boot.BackendChanged(), Phase.DUE, []),
]


@pytest.mark.parametrize(("phase", "event", "after", "effects"), CELLS)
def test_4_2_each_cell_of_the_table(phase, event, after, effects):
    state, done = boot.step(Registration(phase=phase), event)

    assert state.phase is after
    assert [type(effect) for effect in done if not isinstance(effect, boot.CancelRetry)] == effects


def test_4_2_the_backends_interval_is_waited_for_and_zero_leaves_the_choice_to_us():
    _, pending = boot.step(Registration(phase=Phase.ASKED), PENDING)
    _, rejected = boot.step(Registration(phase=Phase.ASKED), REJECTED)

    assert pending == (boot.RetryIn(seconds=20.0),)
    assert rejected == (boot.RetryIn(seconds=boot.OWN_RETRY_S),)


def test_unanswered_boots_come_ever_more_seldom_but_never_stop():
    delays = [boot.retry_delay_s(failures) for failures in range(1, 40)]

    assert delays == sorted(delays)
    assert delays[0] == boot.FIRST_RETRY_S
    assert delays[-1] == boot.LONGEST_RETRY_S


def test_only_a_rejected_station_is_silent_and_only_an_accepted_one_speaks_freely():
    assert {phase for phase in Phase if Registration(phase=phase).must_be_silent} == {Phase.REJECTED}
    assert {phase for phase in Phase if Registration(phase=phase).may_call} == {Phase.ACCEPTED}


def run(*events: boot.Event) -> tuple[Registration, list[type[boot.Effect]]]:
    state, done = Registration(), []
    for event in events:
        state, effects = boot.step(state, event)
        done += [type(effect) for effect in effects if not isinstance(effect, boot.CancelRetry)]
    return state, done


def test_e_3_35_a_boot_is_asked_for_once_on_a_connection():
    over_this_connection, _ = run(CONNECTED, ACCEPTED)
    after_a_reconnect, _ = run(CONNECTED, ACCEPTED, LOST, CONNECTED)
    told_again, effects = run(CONNECTED, ACCEPTED, LOST, CONNECTED, boot.BootTriggered(), boot.BootTriggered())
    unanswered, _ = run(CONNECTED, ACCEPTED, LOST, CONNECTED, boot.BootTriggered(), boot.BootFailed())

    assert not over_this_connection.may_trigger_boot
    assert after_a_reconnect.may_trigger_boot
    assert not told_again.may_trigger_boot
    assert told_again.may_call
    assert effects.count(boot.SendBoot) == 2
    assert unanswered.may_trigger_boot


def test_a_boot_asked_for_before_the_connection_was_noted_is_not_sent_twice():
    state, effects = run(CONNECTED, ACCEPTED, LOST, boot.BootTriggered(), CHANGED)

    assert effects.count(boot.SendBoot) == 2
    assert state.may_call


possible = st.sampled_from([CONNECTED, CHANGED, LOST, boot.RetryDue(), boot.BootTriggered(), boot.BackendChanged()])
answers = st.sampled_from([ACCEPTED, PENDING, REJECTED, boot.BootFailed()])


@given(st.lists(possible | answers, max_size=60))
def test_4_2_whatever_happens_nobody_is_accepted_without_an_accepted_boot(events):
    state, asked = Registration(), False
    for event in events:
        if isinstance(event, boot.BootAnswered | boot.BootFailed) and not asked:
            continue
        before = state
        state, effects = boot.step(state, event)
        if state.may_call and not before.may_call:
            assert event == ACCEPTED
        asked = (asked or any(isinstance(effect, boot.SendBoot) for effect in effects)) and not isinstance(
            event, boot.BootAnswered | boot.BootFailed
        )
        if state.phase is not Phase.ASKED:
            asked = asked and state.phase in {Phase.DUE, Phase.UNANSWERED, Phase.ACCEPTED}


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_survives_the_loss_of_the_connection(phase):
    for event in (CONNECTED, LOST, boot.RetryDue(), boot.BootTriggered(), boot.BackendChanged()):
        boot.step(Registration(phase=phase), event)
