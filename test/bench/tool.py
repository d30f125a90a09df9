#!/usr/bin/env python3
"""
A load that is another project's program: runs it against a server of the bench and writes one line
of JSON, with the server's CPU time of a request by its process's clock («cpu», nanoseconds) beside
what the tool itself says («rate», «p50», «p99»). A tool that found a fault is a failure.

These tools count answers, and of their contents compare what stands here; what they don't is
compared by us, before the measured run and after it.

usage: tool.py redis COMMAND PIPELINE -p PORT -P PROCESS [-C CPU] [-t SECONDS]
       tool.py http SIZE CONNECTIONS [PIPELINE] -p PORT -P PROCESS [-C CPU] [-t SECONDS]
       tool.py pong tcp|udp -p PORT -P PROCESS [-C CPU] [-t SECONDS]

redis   redis-benchmark, COMMAND is get or set, 50 connections; it wants an answer for each command,
        and none that is an error. Before and after: a hundred values
http    wrk, its shortest time is a second; it wants status 200 and a body of the length that the
        answer tells. Before and after: a body, every byte
pong    sockperf, half the time of a round trip; it compares every byte
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HOST = '127.0.0.1'
GUESS = 2000  # requests of a run that tells how many there are in the time
PATIENCE = 60  # seconds for an answer that is compared


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

KEY = b'key:__rand_int__'  # the only one that redis-benchmark asks for and sets
VALUES = {b'value:%d' % number: bytes((number + index) % 256 for index in range(number * number))
          for number in range(100)}


def command(*words):
    return b'*%d\r\n' % len(words) + b''.join(map(bulk, words))


def bulk(value):
    return b'$%d\r\n%s\r\n' % (len(value), value)


def answerOf(port, request, length):
    """What comes for a request, at most so many bytes."""
    answer = bytearray()
    with socket.create_connection((HOST, port), PATIENCE) as client:
        client.sendall(request)
        while len(answer) < length and (part := client.recv(length - len(answer))):
            answer += part
    return bytes(answer)


def compareValues(port, values):
    answer = answerOf(port, b''.join(command(b'GET', key) for key in values),
                      sum(len(bulk(value)) for value in values.values()))
    if answer != b''.join(map(bulk, values.values())):
        sys.exit(f"other values: {answer[:100]!r}")


def setValues(port, values):
    wanted = b'+OK\r\n' * len(values)
    answer = answerOf(port, b''.join(command(b'SET', *item) for item in values.items()),
                      len(wanted))
    if answer != wanted:
        sys.exit(f"SET gave {answer[:100]!r}")


def compareSet(port):
    """That the key has three bytes, which are redis-benchmark's choice."""
    answer = answerOf(port, command(b'GET', KEY), len(bulk(b'xxx')))
    if not re.fullmatch(rb'\$3\r\n.{3}\r\n', answer, re.S):
        sys.exit(f"other values: {answer!r} has been set")


def benchmark(options, count):
    name, pipeline = options.words
    output = run('redis-benchmark', '-h', HOST, '-p', options.port, '-t', name, '-n', count,
                 '-c', 50, '-P', pipeline, '--csv')
    values = [cell.strip('"') for cell in output.strip().splitlines()[-1].split(',')]
    # "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_…","p99_…","max_…"
    return {'rate': float(values[1]), 'p50': 1000 * float(values[4]),
            'p99': 1000 * float(values[6]), 'requests': count}


def redis(options):
    """(what measures, what compares)"""
    setValues(options.port, {**VALUES, KEY: b'xxx' if options.words[0] == 'get' else b'before'})
    compareValues(options.port, VALUES)
    rate = benchmark(options, GUESS)['rate']

    def compare():
        if options.words[0] == 'get':
            compareValues(options.port, {**VALUES, KEY: b'xxx'})
        else:
            compareValues(options.port, VALUES)
            compareSet(options.port)
    return lambda: benchmark(options, max(GUESS, int(rate * options.seconds))), compare


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


def compareBody(port, size):
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
    """(what measures, what compares)"""
    compareBody(options.port, options.words[0])

    def measure():
        with tempfile.NamedTemporaryFile('w', suffix='.lua') as script:
            script.write(SEVERAL)
            script.flush()
            return wrk(options, script.name)
    return measure, lambda: compareBody(options.port, options.words[0])


# ---- sockperf ----

def pong(options):
    """(what measures, what compares)"""
    protocol = ['--tcp'] if options.words == ['tcp'] else []

    def measure():
        output = run('sockperf', 'ping-pong', '-i', HOST, '-p', options.port, *protocol, '-m', 64,
                     '-t', max(1, round(options.seconds)), '--data-integrity')
        output = re.sub(r'\x1b\[[\d;]*m', '', output)
        lost = find(r'dropped messages = (\d+); .*duplicated messages = (\d+); '
                    r'.*out-of-order messages = (\d+)', output).groups()
        if lost[1:] != ('0', '0'):
            sys.exit(f"duplicated and out of order: {lost}")
        requests = int(find(r'\[Total Run\].*SentMessages=(\d+)', output)[1])
        return {'requests': requests, 'lost': int(lost[0]),
                'p50': float(find(r'percentile 50\.000 =\s+([\d.]+)', output)[1]),
                'p99': float(find(r'percentile 99\.000 =\s+([\d.]+)', output)[1])}
    return measure, lambda: None


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
    measure, compare = {'redis': redis, 'http': http, 'pong': pong}[options.load](options)
    before = time.clock_gettime_ns(processClock(options.process))
    results = measure()
    spent = time.clock_gettime_ns(processClock(options.process)) - before
    compare()
    print(json.dumps({'cpu': spent / max(results['requests'], 1), **results}))


main()
