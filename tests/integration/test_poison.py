"""A record that PostgreSQL refuses for a reason of its own: it alone is set aside."""

import math

import psycopg

from harness import verify
from harness.commands import open_account, record, transfer
from harness.wait import wait_until
from test_admin import Admin

OPEN = [record("h", open_account("house", None), 0), record("a", open_account("a"), 0)]
PAY = transfer("house", "a", "0.01")


def refuse_keys(deployment, *keys):
    """Stands for a bug: a trigger that refuses these keys with a class-22 error."""
    quoted = ", ".join(f"'{key}'" for key in keys)
    with psycopg.connect(deployment.url) as connection:
        connection.execute(f"""
            CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.key IN ({quoted}) THEN
                    RAISE EXCEPTION 'refused by the test' USING ERRCODE = '22023';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON postonce.inbox
            FOR EACH ROW EXECUTE FUNCTION public.refuse()""")


def accept_all(deployment):
    with psycopg.connect(deployment.url) as connection:
        connection.execute("DROP FUNCTION public.refuse() CASCADE")


def test_the_rest_of_the_batch_commits(deploy):
    deployment = deploy()
    deployment.send(OPEN)
    deployment.consume_to_end()
    refuse_keys(deployment, "k17", "k18", "k99")
    deployment.send([record(f"k{n}", PAY, 0) for n in range(100)])
    deployment.consume_to_end()
    state = verify.verify(deployment, poison={"k17", "k18", "k99"})
    assert state.accounts["a"]["balance_minor"] == 97
    assert {row["key"] for row in state.dead_rows.values()} == {"k17", "k18", "k99"}


def test_one_in_a_full_batch_is_found_in_few_transactions(deploy):
    """I11: by halving, and the runs grow again: no more refusals, and no more commits, than
    twice the halvings of a batch, wherever the record is; it is where it costs the most."""
    full, worst = 2000, 995
    deployment = deploy()
    deployment.send(OPEN)
    deployment.consume_to_end()
    refuse_keys(deployment, f"k{worst}")
    epoch = deployment.epoch()
    consumer = deployment.consumer(admin__listen="127.0.0.1:0")
    wait_until(lambda: deployment.epoch() > epoch, 40, "the partition is claimed")
    with psycopg.connect(deployment.url) as lock:
        lock.execute("SELECT FROM postonce.stream_position FOR UPDATE")
        deployment.send([record("first", PAY, 0)])
        wait_until(lambda: deployment.query(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"), 20, "the first batch waits for its row")
        deployment.send([record(f"k{n}", PAY, 0) for n in range(2 * full)])
        wait_until(lambda: "event=paused" in consumer.log.read_text(), 40,
                   "the batch behind it is full")
    deployment.wait_caught_up(consumers=[consumer])
    assert f"records={full} faults=1" in consumer.log.read_text(), "the test is void"
    bound = 2 * math.ceil(math.log2(full))
    assert 0 < Admin(consumer).metrics()[("retries_total", "database_refuses")] <= bound
    first = len(OPEN) + 1
    assert len(deployment.query('SELECT DISTINCT xmin FROM postonce.inbox WHERE "offset" >= %s '
                                'AND "offset" < %s', first, first + full)) <= bound
    assert consumer.stop() == 0
    state = verify.verify(deployment, poison={f"k{worst}"})
    assert state.accounts["a"]["balance_minor"] == 2 * full  # "first" makes up for one


def test_it_is_answered_the_same_on_a_rewind_even_when_it_would_work_now(deploy):
    deployment = deploy()
    deployment.send(OPEN)
    deployment.consume_to_end()
    refuse_keys(deployment, "k1")
    deployment.send([record(f"k{n}", PAY, 0) for n in range(3)])
    deployment.consume_to_end()
    accept_all(deployment)
    done = deployment.verb("rewind", "--to-earliest", "--execute")
    assert done.returncode == 0, done.stderr
    deployment.consume_to_end()
    answers = [each for each in deployment.read(deployment.results) if each.key == b"k1"]
    assert len(answers) == 2 and answers[0].value == answers[1].value
    assert [each.header("outcome") for each in answers] == ["poison", "poison"]
    assert answers[1].header("idempotent-replayed") == "true"
    # its key is free: the same command, sent anew, is decided
    deployment.send([record("k1", PAY, 0)])
    deployment.consume_to_end()
    assert verify.verify(deployment, rewound=True, poison={(0, 3)}
                         ).accounts["a"]["balance_minor"] == 3
