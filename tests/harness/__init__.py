"""Real servers and real processes for the tests, the demo, the campaign and the benchmark.

    servers      PostgreSQL and Kafka, private or given (TEST_POSTGRES, TEST_KAFKA)
    deployment   one postonce on them: database, topics, group, processes
    topics       records in and out, group offsets
    oracle       what should have happened, from the contract and the topic alone
    verify       what did happen, against the oracle
    proxy        rare moments between postonce and PostgreSQL, on purpose
    wait         conditions with a deadline; nothing here sleeps and hopes
"""
