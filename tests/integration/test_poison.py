"""A record that PostgreSQL refuses for a reason of its own: it alone is set aside."""

import psycopg

from harness import verify
from harness.commands import open_account, record, transfer

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
