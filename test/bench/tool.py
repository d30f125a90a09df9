#!/usr/bin/env python3
"""
A load that is another project's program: runs it against a server of the bench and writes one line
of JSON, with the server's CPU time of a request by its process's clock («cpu», nanoseconds) beside
what the tool itself says («rate», «p50», «p99»). A tool that found a fault is a failure.

usage: tool.py redis COMMAND PIPELINE -p PORT -P PROCESS [-C CPU] [-t SECONDS]
       tool.py http SIZE CONNECTIONS [PIPELINE] -p PORT -P PROCESS [-C CPU] [-t SECONDS]
       tool.py pong tcp|udp -p PORT -P PROCESS [-C CPU] [-t SECONDS]

redis   redis-benchmark; COMMAND is get or set, 50 connections
http    wrk; its shortest time is a second
pong    sockperf; half the time of a round trip
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

HOST = '127.0.0.1'
GUESS = 2000  # requests of a run that tells how many there are in the time


def processClock(process):
    """The clock id of another process's CPU time, as clock_getcpuclockid(3) makes it."""
    return (~process << 3) | 2


def run(*words):
    result = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{words[0]}: exit status {result.returncode}: {result.stderr[-300:]}")
    return result.stdout


def find(pattern, text):
    match = re.search(pattern, text)
    if not match:
        sys.exit(f"{pattern} is not in {text[-300:]!r}")
    return match


def microseconds(number, unit):
    return float(number) * {'us': 1, 'ms': 1000, 's': 1000000}[unit]


# ---- redis-benchmark ----

def setKey(port):
    """What GET finds."""
    answer = run('redis-cli', '-h', HOST, '-p', port, 'SET', 'key:000000000000', 'xxx').strip()
    if answer != 'OK':
        sys.exit(f"SET gave {answer!r}")


def benchmark(options, count):
    command, pipeline = options.words
    output = run('redis-benchmark', '-h', HOST, '-p', options.port, '-t', command, '-n', count,
                 '-c', 50, '-P', pipeline, '--csv')
    values = [cell.strip('"') for cell in output.strip().splitlines()[-1].split(',')]
    # "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_…","p99_…","max_…"
    return {'rate': float(values[1]), 'p50': 1000 * float(values[4]),
            'p99': 1000 * float(values[6]), 'requests': count}


def redis(options):
    setKey(options.port)
    rate = benchmark(options, GUESS)['rate']
    return lambda: benchmark(options, max(GUESS, int(rate * options.seconds)))


# ---- wrk ----

# wrk's own requests are one at a time; this script gives it several as one.
SEVERAL = """
local several
init = function(arguments)
    several = string.rep(wrk.format(), tonumber(arguments[1]))
end
request = function()
    return several
end
"""


def checkBody(port, size):
    """That the server gives what it should; wrk only counts."""
    with urllib.request.urlopen(f'http://{HOST}:{port}/{size}') as reply:
        body = reply.read()
    if body != bytes((index * 7 + 3) % 256 for index in range(int(size))):
        sys.exit(f"another body, of {len(body)} bytes")


def wrk(options, script):
    size, connections, *pipeline = options.words
    words = ['-t', 1, '-c', connections, '-d', f'{max(1, round(options.seconds))}s', '--latency',
             '--timeout', '60s']
    if pipeline:
        words += ['-s', script]
    words += [f'http://{HOST}:{options.port}/{size}', *(['--', *pipeline] if pipeline else [])]
    output = run('wrk', *words)
    if fault := re.search(r'(Socket errors|Non-2xx).*', output):
        sys.exit(fault[0])
    results = {'requests': int(find(r'(\d+) requests in', output)[1]),
               'rate': float(find(r'Requests/sec:\s+([\d.]+)', output)[1])}
    if not pipeline:  # wrk takes the first reply's time for that of all
        for name, part in (('p50', '50%'), ('p99', '99%')):
            found = find(rf'{part}\s+([\d.]+)(us|ms|s)\b', output)
            results[name] = microseconds(*found.groups())
    return results


def http(options):
    checkBody(options.port, options.words[0])

    def measure():
        with tempfile.NamedTemporaryFile('w', suffix='.lua') as script:
            script.write(SEVERAL)
            script.flush()
            return wrk(options, script.name)
    return measure


# ---- sockperf ----

def pong(options):
    protocol = ['--tcp'] if options.words == ['tcp'] else []

    def measure():
        output = run('sockperf', 'ping-pong', '-i', HOST, '-p', options.port, *protocol, '-m', 64,
                     '-t', max(1, round(options.seconds)))
        output = re.sub(r'\x1b\[[\d;]*m', '', output)
        lost = find(r'dropped messages = (\d+); .*duplicated messages = (\d+); '
                    r'.*out-of-order messages = (\d+)', output).groups()
        if lost[1:] != ('0', '0'):
            sys.exit(f"duplicated and out of order: {lost}")
        requests = int(find(r'\[Total Run\].*SentMessages=(\d+)', output)[1])
        return {'requests': requests, 'lost': int(lost[0]),
                'p50': float(find(r'percentile 50\.000 =\s+([\d.]+)', output)[1]),
                'p99': float(find(r'percentile 99\.000 =\s+([\d.]+)', output)[1])}
    return measure


# ---- main ----

def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('load', choices=['redis', 'http', 'pong'])
    parser.add_argument('words', nargs='+')
    parser.add_argument('-p', dest='port', type=int, required=True)
    parser.add_argument('-P', dest='process', type=int, required=True)
    parser.add_argument('-C', dest='cpu', type=int)
    parser.add_argument('-t', dest='seconds', type=float, default=0.5)
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    measure = {'redis': redis, 'http': http, 'pong': pong}[options.load](options)
    before = time.clock_gettime_ns(processClock(options.process))
    results = measure()
    spent = time.clock_gettime_ns(processClock(options.process)) - before
    print(json.dumps({'cpu': spent / max(results['requests'], 1), **results}))


main()
