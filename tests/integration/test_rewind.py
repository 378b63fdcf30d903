"""The topic from its beginning once more: no balance moves, and every answer is the same."""

import pytest

from harness import verify
from harness.commands import open_account, record, transfer
from harness.workload import Workload


def snapshot(deployment):
    """All of the books; what a replay may refresh (last seen) is left out."""
    return [deployment.query(statement) for statement in (
        "SELECT * FROM postonce.account ORDER BY account_id",
        "SELECT * FROM postonce.transfer ORDER BY payment_id",
        "SELECT key, operation, client, fingerprint, outcome, code, payment_id, result, topic,"
        " partition, \"offset\", decided_at FROM postonce.inbox ORDER BY key",
        "SELECT topic, partition, \"offset\", outcome, code, key, result, decided_at"
        " FROM postonce.dead_letter ORDER BY topic, partition, \"offset\"",
        "SELECT partition, next_offset FROM postonce.stream_position ORDER BY partition")]


def rewind(deployment, *arguments):
    done = deployment.verb("rewind", *arguments, "--execute")
    assert done.returncode == 0, done.stderr
    return done


def by_place(results):
    found = {}
    for each in results:
        place = int(each.header("command-partition")), int(each.header("command-offset"))
        found.setdefault(place, []).append(each)
    return found


@pytest.fixture
def finished(deploy):
    """A deployment that has decided a few hundred commands of all kinds."""
    deployment = deploy(partitions=2)
    work = Workload(seed=5, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    deployment.send(work.take(600))
    deployment.consume_to_end()
    verify.verify(deployment)
    return deployment


def test_all_answers_again_byte_for_byte(finished):
    before, first = snapshot(finished), finished.read(finished.results)
    letters = finished.read(finished.dead_letters)
    rewind(finished, "--to-earliest")
    finished.consume_to_end(batch__records=50)
    assert snapshot(finished) == before
    answers = by_place(finished.read(finished.results))
    assert len(answers) == len(first)
    for place, (once, again) in answers.items():
        assert again.value == once.value and again.key == once.key, place
        assert again.header("idempotent-replayed") == "true"
        assert again.header("outcome") == once.header("outcome")
    # what left no inbox row is dead-lettered again: its coordinates tell
    again = finished.read(finished.dead_letters)
    places = sorted(verify.letter_place(each) for each in again)
    assert places == sorted(2 * [verify.letter_place(each) for each in letters])
    assert {each.header("dead-letter-attempt") for each in again} == {"1"}
    verify.verify(finished, rewound=True)


def test_a_rewind_killed_half_way_changes_nothing(finished):
    before = snapshot(finished)
    rewind(finished, "--to-earliest")
    count = len(finished.read(finished.results))
    consumer = finished.consumer(batch__records=10)
    reader = finished.reader()
    reader.wait_count(count + 20, check=consumer.must_run)
    consumer.kill()
    finished.consume_to_end(seconds=90)
    assert snapshot(finished) == before
    for place, answers in by_place(finished.read(finished.results)).items():
        assert len(answers) == 2 and len({each.value for each in answers}) == 1, place


def test_a_malformed_command_corrected_under_its_key_stays_as_it_was_decided(deploy):
    """On a rewind the first record must not find the row of the second and be a conflict."""
    deployment = deploy()
    good = transfer("house", "a", "1.00")
    deployment.send([record("h", open_account("house", None), 0),
                     record("a", open_account("a"), 0),
                     record("k", {**good, "amount": "1.001"}, 0), record("k", good, 0),
                     record("k", {**good, "amount": "2"}, 0)])
    deployment.consume_to_end()
    verify.verify(deployment)
    rewind(deployment, "--to-earliest")
    deployment.consume_to_end()
    outcomes = {}
    for place, (once, again) in by_place(deployment.read(deployment.results)).items():
        assert once.value == again.value
        outcomes[place[1]] = again.header("outcome")
    assert outcomes == {0: "applied", 1: "applied", 2: "malformed", 3: "applied", 4: "conflict"}


def test_without_execute_nothing_moves(finished):
    before = finished.committed()
    done = finished.verb("rewind", "--to-earliest")
    assert done.returncode == 0, done.stderr
    assert "--execute" in done.stdout + done.stderr
    assert finished.committed() == before


def test_to_an_offset_of_one_partition(finished):
    before = finished.committed()
    rewind(finished, "--to-offset", "7", "--partition", "1")
    assert finished.committed() == {**before, 1: 7}


def test_to_a_time(deploy):
    deployment = deploy()
    t0 = 1_760_000_000_000  # 2025-10-09T08:53:20Z
    deployment.send([record(f"k{n}", open_account(f"a{n}"), 0, timestamp_ms=t0 + 1000 * n)
                     for n in range(10)])
    deployment.consume_to_end()
    rewind(deployment, "--to-time", "2025-10-09T08:53:24Z")
    assert deployment.committed() == {0: 4}


def test_forward_is_no_rewind(finished):
    """What is decided and not answered yet lies above the committed offset."""
    before = finished.committed()
    rewind(finished, "--to-offset", "7", "--partition", "1")
    rewind(finished, "--to-time", "2100-01-01T00:00:00Z")
    assert finished.committed() == {**before, 1: 7}
    done = finished.verb("rewind", "--to-offset", "8", "--partition", "1", "--execute")
    assert done.returncode == 2 and "stands at 7" in done.stderr
    assert finished.committed() == {**before, 1: 7}


def test_refused_while_the_group_has_members(finished):
    consumer = finished.consumer()
    finished.wait_members("a")
    before = finished.committed()
    done = finished.verb("rewind", "--to-earliest", "--execute")
    assert done.returncode != 0 and finished.group in done.stderr
    assert finished.committed() == before
    assert consumer.stop() == 0


@pytest.mark.parametrize("arguments", [
    [], ["--to-earliest", "--to-offset", "1"], ["--to-offset"], ["--to-offset", "-1"],
    ["--to-offset", "x"], ["--to-time", "yesterday"], ["--to-earliest", "--partition", "99"]])
def test_wrong_usage(deploy, arguments):
    deployment = deploy(migrated=False)
    done = deployment.verb("rewind", *arguments)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stderr.strip()
