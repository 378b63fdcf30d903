"""What is to be reached, as ratios within one run where a ratio will do."""


def _ratio(section, workload, other_workload, who="postonce", other=None):
    def found(report):
        return (report.median(section, workload, who) /
                report.median(section, other_workload, other or who))
    return found


def _one(section, workload, name, scale=1.0, who="postonce"):
    return lambda report: report.median(section, workload, who, name) * scale


AT_LEAST, AT_MOST = ">=", "<="
GOALS = (
    ("uniform v7, of the ceiling", AT_LEAST, 0.85,
     _ratio("drain", "uniform v7", "uniform v7", other="ceiling")),
    ("uniform v7, times a row at a time", AT_LEAST, 15,
     _ratio("drain", "uniform v7", "uniform v7", other="row at a time")),
    ("uniform v7, times the batched peer", AT_LEAST, 1.3,
     _ratio("drain", "uniform v7", "uniform v7", other="batched peer")),
    *((f"{name}, of uniform v7", AT_LEAST, 0.9, _ratio("others", name, "uniform v7"))
      for name in ("Zipf 1.0", "one hot destination", "one hot source")),
    ("full rewind, times uniform v7", AT_LEAST, 2,
     _ratio("others", "uniform v7, full rewind", "uniform v7")),
    *((f"10 million {kind} keys in the inbox, of an empty one", AT_LEAST, least,
       _ratio("inbox", f"uniform {kind}", f"uniform {kind}", "10M keys in the inbox",
              "empty inbox")) for kind, least in (("v7", 0.9), ("v4", 0.7))),
    ("5000/s, p99 until committed, ms", AT_MOST, 10,
     _one("steady", "5000/s", "committed_p99_us", 1e-3)),
    ("5000/s, p99 until the result is visible, ms", AT_MOST, 25,
     _one("steady", "5000/s", "visible_p99_us", 1e-3)),
    ("1/s, p50 until committed, ms", AT_MOST, 5, _one("steady", "1/s", "committed_p50_us", 1e-3)),
    ("the consumer's own CPU, us a command", AT_MOST, 8, _one("drain", "uniform v7",
                                                              "consumer_us")),
    ("peak RSS under a backlog of 2 million, MB", AT_MOST, 128,
     _one("backlog", "2,000,000 commands", "rss_mb_at_the_end")),
    ("first command committed after a start, s", AT_MOST, 1, _one("starts", "start", "seconds")),
    ("... after kill -9, session 6 s, s", AT_MOST, 8,
     _one("starts", "kill -9 and start again, session 6 s", "seconds")),
    ("... with static membership, s", AT_MOST, 2,
     _one("starts", "kill -9 and start again, static membership", "seconds")),
    ("two processes, disjoint accounts, times one", AT_LEAST, 1.3,
     _ratio("processes", "disjoint halves", "disjoint halves", "2 process(es)",
            "1 process(es)")),
    ("two processes, hot accounts shared, times one", AT_LEAST, 0.9,
     _ratio("processes", "Zipf 1.0", "Zipf 1.0", "2 process(es)", "1 process(es)")),
)


def rows(report):
    """(goal, wanted, found, verdict) of what was measured in this run."""
    found = []
    for name, relation, wanted, measure in GOALS:
        try:
            value = measure(report)
        except ValueError:  # statistics: no data
            continue
        reached = value >= wanted if relation == AT_LEAST else value <= wanted
        found.append((name, f"{relation} {wanted:g}", f"{value:.2f}",
                      "reached" if reached else "missed"))
    return found
