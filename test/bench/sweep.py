"""How a provider's buffers, their number and their length, make a server faster or slower."""

import random
import statistics
import sys

import contest
import rows

COUNTS = [4, 8, 16, 32, 64, 128, 256]
LENGTHS = [2048, 4096, 16384, 65536, 262144]
WORKLOADS = {
    'receive': ('discard', rows.load('source', '-s 1048576'), 'receive of 1 MiB writes', False),
    'echo': ('echo', rows.load('echo', '-c 64 -d 4 -s 64'), 'echo of 64 B, 64 connections', True),
}


def rowOf(mode, load, title, oneCore, count, length):
    contender = contest.Contender('fastsocket', rows.server('fastsocket', mode,
                                                            f'-b {length} -n {count}'))
    return contest.Row(f'{mode}-{count}x{length}', title, [contender], 'fastsocket', load,
                       oneCore=oneCore)


def run(arguments):
    """{workload: {title, points: [{count, length, rate, cpu}]}}, medians of the rounds. Each round
    goes through the whole grid in an order of chance."""
    results = {name: {'title': title, 'points': []}
               for name, (_, _, title, _) in WORKLOADS.items()}
    grid = [(name, count, length) for name in WORKLOADS for count in COUNTS for length in LENGTHS]
    found = {point: [] for point in grid}
    for number in range(arguments.rounds):
        print(f'round {number + 1}', file=sys.stderr, flush=True)
        for name, count, length in random.sample(grid, len(grid)):
            row = rowOf(*WORKLOADS[name], count, length)
            found[name, count, length].append(
                contest.runOnce(row, row.contenders[0], arguments.bin, arguments.seconds,
                                arguments.warm))
    for name, count, length in grid:
        rounds = found[name, count, length]
        results[name]['points'].append({'count': count, 'length': length, **{
            key: statistics.median(each[key] for each in rounds) for key in ('rate', 'cpu')}})
    return results
