"""Chooses faults by a seed and runs several at a time in one thread. What one needs, the
others may not touch; what is chosen depends on the seed, when it strikes on the world."""

import collections
import datetime
import time

from .faults import FAULTS

TICK_S = 0.01


class Running:
    """One fault under way: a generator, and what it waits for."""

    def __init__(self, fault, world, actor, needs):
        self.fault = fault
        self.actor = actor
        self.needs = needs
        self.effect = None
        self.over = False
        arguments = (world, actor) if actor is not None else (world,)
        self._steps = fault.make(*arguments)
        self._condition = None
        self._until = 0.0
        self._advance(None)

    def _advance(self, value):
        try:
            wanted = self._steps.send(value)
        except StopIteration as end:
            self.over, self.effect = True, end.value
            return
        self._condition, seconds = wanted if isinstance(wanted, tuple) else (None, wanted)
        self._until = time.monotonic() + seconds

    def turn(self):
        """Goes on if what it waits for has come, or its time is over."""
        holds = self._condition is not None and bool(self._condition())
        if holds or time.monotonic() >= self._until:
            self._advance(holds)


class Nemesis:
    def __init__(self, world, names, at_once, seed_random, diary):
        self.attempted = collections.Counter()
        self.effective = collections.Counter()
        self.no_occasion = collections.Counter()
        self.overlaps = 0
        self._world = world
        self._names = names
        self._at_once = at_once
        self._random = seed_random
        self._running = []
        self._diary = open(diary, "a", buffering=1)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while len(self._running) < self._at_once and self._begin():
                pass
            self._turn()

    def finish(self, seconds=240):
        """Lets every fault heal what it broke."""
        end = time.monotonic() + seconds
        while self._running:
            if time.monotonic() > end:
                names = [each.fault.name for each in self._running]
                raise AssertionError(f"faults {names} did not end within {seconds} s")
            self._turn()

    def _turn(self):
        self._world.poll()
        for each in list(self._running):
            each.turn()
            if each.over:
                self._end(each)
        time.sleep(TICK_S)

    def _begin(self):
        """False when nothing that is allowed can be started now."""
        names = [name for name in self._names if self._can(FAULTS[name])]
        if not names:
            return False
        weights = [FAULTS[name].weight for name in names]
        fault = FAULTS[self._random.choices(names, weights)[0]]
        needs = {part for part in fault.needs.split("+") if part in ("postgres", "kafka", "extra")}
        actor = None
        if not needs or "proxied" in fault.needs:
            actor = self._random.choice(self._free(fault))
            actor.took = fault.name
        self._world.busy |= needs
        self.overlaps += bool(self._running)
        self._note("begins", fault, actor)
        self._running.append(Running(fault, self._world, actor, needs))
        return True

    def _can(self, fault):
        parts = set(fault.needs.split("+"))
        if parts & self._world.busy:
            return False
        return not parts & {"actor", "proxied"} or bool(self._free(fault))

    def _free(self, fault):
        """Those that may be taken; one is always left alone, to take over from the others."""
        free = [actor for actor in self._world.actors if actor.took is None]
        return [] if len(free) < 2 else [actor for actor in free if actor.proxy is not None
                                         or "proxied" not in fault.needs]

    def _end(self, each):
        self._running.remove(each)
        self._world.busy -= each.needs
        if each.actor is not None:
            each.actor.took = None
        name = each.fault.name
        self._note({None: "no occasion", True: "took effect"}.get(each.effect, "in vain"),
                   each.fault, each.actor)
        if each.effect is None:
            self.no_occasion[name] += 1
            return
        self.attempted[name] += 1
        self.effective[name] += bool(each.effect)

    def _note(self, what, fault, actor):
        """For whoever reads the logs: when each fault began and ended."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        who = actor.name if actor is not None else "-"
        self._diary.write(f"{now} {fault.name} {who} {what}\n")
