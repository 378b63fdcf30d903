"""Hours of faults on real servers, and the judge of what came of them.

    run        the command line; servers, phases, the report
    phase      one phase: a deployment, load, faults, healing, rewinds, the verdict
    world      what a fault may touch: consumers behind proxies, servers, what is observed
    faults     each fault: how it is made, and the evidence that it took effect
    nemesis    chooses faults by a seed and runs two at a time
    load       commands with duplicates, conflicts, refusals and garbage, all journalled
    observers  I4, I16 and epochs, sampled all the time
    logs       what consumers say, as events; I13
    dump       topics and tables as files, for the oracle
    oracle     valid, invalid or unknown, from those files alone
    report     counters of one run or of several as JSON and Markdown
"""
