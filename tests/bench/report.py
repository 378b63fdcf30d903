"""The tables of a report: medians, the spread, and the ratios that the goals are about."""

import collections
import json
import statistics

from . import goals


TITLES = {
    "drain": "A backlog is drained: next to the ceiling and to others",
    "others": "Other workloads",
    "processes": "Processes and posters",
    "batches": "Sizes of a batch",
    "inbox": "An inbox that holds 10 million keys, across a checkpoint",
    "steady": "A steady load (open loop): milliseconds from when a command was due",
    "starts": "Getting going",
    "backlog": "A backlog of two million",
    "profile": "What a command costs where, microseconds",
}


class Report:
    def __init__(self, path):
        with open(path) as file:
            self.facts, *self._lines = [json.loads(line) for line in file]
        self._by_key = collections.defaultdict(list)
        for line in self._lines:
            self._by_key[line["section"], line["workload"], line["contender"]].append(line)

    def values(self, section, workload, contender, name):
        lines = self._by_key.get((section, workload, contender), ())
        return [line[name] for line in lines]

    def median(self, section, workload, contender, name="per_second"):
        return statistics.median(self.values(section, workload, contender, name))

    def ratio(self, section, workload, contender, other, name="per_second"):
        return (self.median(section, workload, contender, name) /
                self.median(section, workload, other, name))

    # ---- tables ----

    def as_markdown(self):
        sections = dict.fromkeys(line["section"] for line in self._lines)
        return "\n\n".join([self._facts(), "## Goals", _table(
            ("", "wanted", "found", ""), goals.rows(self)), *map(self._section, sections)])

    def _facts(self):
        return _table(("run", ""), list(self.facts.items()))

    def _section(self, section):
        lines = [line for line in self._lines if line["section"] == section]
        if section == "profile":
            table = self._profile(lines)
        elif "consumer_us" in lines[0] and "per_second" in lines[0]:
            table = self._drains(section)
        else:
            table = self._others(section)
        return f"## {TITLES[section]}\n\n{table}"

    def _drains(self, section):
        rows, base = [], None
        for key, lines in self._by_key.items():
            if key[0] != section:
                continue
            speed = self.median(*key)
            speeds = self.values(*key, "per_second")
            base = base or speed
            ceiling = (section, key[1], "ceiling")
            rows.append((
                key[1], key[2], f"{speed:,.0f}",
                f"{min(speeds):,.0f} … {max(speeds):,.0f}", f"{speed / base:.2f}",
                f"{speed / self.median(*ceiling):.2f}" if ceiling in self._by_key else "",
                *(_or_blank(self.median(*key, name), "{:.1f}") for name in (
                    "consumer_us", "postgres_us", "broker_us")),
                _or_blank(self.median(*key, "wal_bytes"), "{:,.0f}"),
                _or_blank(self.median(*key, "rss_mb"), "{:.0f}"),
                _or_blank(self.median(*key, "statements_per_batch"), "{:.1f}"),
                _or_blank(self.median(*key, "round_trips_per_batch"), "{:.1f}")))
        return _table(("workload", "who", "commands/s", "spread", "of the first row",
                       "of its ceiling", "CPU us: consumer", "Postgres", "broker", "WAL bytes",
                       "peak RSS MB", "statements a batch", "round trips"), rows)

    @staticmethod
    def _profile(lines):
        return _table(("whose", "what", "us a command", "calls"), [
            (line["workload"], line["contender"], f"{line['us']:.2f}", line["times"] or "")
            for line in lines])

    def _others(self, section):
        """Medians, where there is more than one round."""
        rows = []
        for key, lines in self._by_key.items():
            if key[0] == section:
                found = {name: self.median(*key, name) for name in lines[0]
                         if name not in ("section", "workload", "contender", "round")}
                rows.append((key[1], *map(_value, found.items())))
                names = found
        return _table(("", *map(_label, names)), rows)


def _label(name):
    return name.removesuffix("_us").replace("_", " ") + (
        ", ms" if name.endswith("_us") and name != "consumer_us" else
        ", us CPU" if name == "consumer_us" else "")


def _value(pair):
    name, value = pair
    if name.endswith("_us") and name != "consumer_us":
        return f"{value / 1000:.1f}"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _or_blank(value, form):
    return form.format(value) if value else ""


def _table(head, rows):
    def line(cells):
        return "| " + " | ".join(str(cell) for cell in cells) + " |"
    return "\n".join([line(head), line("--:" if n > 1 else "---" for n in range(len(head))),
                      *map(line, rows)])
