"""Waiting on conditions. Nothing in the tests sleeps for a fixed time and hopes."""

import time


class TimedOut(AssertionError):
    """A condition did not come true before its deadline."""


def wait_until(condition, seconds=20.0, what="a condition", every=0.02):
    """Returns the first truthy value of condition().

    `what` names the condition in the error; a callable is called then, so that the
    message can tell what the state was instead.
    """
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            text = what() if callable(what) else what
            raise TimedOut(f"not within {seconds:g} s: {text}")
        time.sleep(every)
