"""Changes of the tree, by name: BREAKS must be refused, ACCEPTED must not."""

from . import (behaving, behaviour, compatible, counters, effects, errors, kinds, linking, package,
               symbols, types, values)

# Those that leave the headers alone first: they rebuild little.
GROUPS = {
    'Behaviour': behaviour.BREAKS,
    'What is taken': kinds.BREAKS,
    'Errors': errors.BREAKS,
    'Effects': effects.BREAKS,
    'Statistics': counters.BREAKS,
    'Order, time, threads, life': behaving.BREAKS,
    'The file and the release': linking.BREAKS,
    'The archive, the .pc file, names': package.BREAKS,
    'Symbols': symbols.BREAKS,
    'Types': types.BREAKS,
    'Values, structs, headers': values.BREAKS,
}
# The groups whose breaks only a program that runs can see.
MEANING = ['Behaviour', 'What is taken', 'Errors', 'Effects', 'Statistics',
           'Order, time, threads, life']
# {beginning of names: the frozen program that is asked first}: the longest one holds.
PROGRAMS = {**kinds.PROGRAMS, **errors.PROGRAMS, **effects.PROGRAMS, **counters.PROGRAMS,
            **behaving.PROGRAMS}

BREAKS = {name: mutate for group in GROUPS.values() for name, mutate in group.items()}
ACCEPTED = compatible.ACCEPTED

assert len(BREAKS) == sum(map(len, GROUPS.values())), "two breaks with the same name"
assert not BREAKS.keys() & ACCEPTED.keys()


def programFor(name):
    """The frozen program that is asked first about a break, or None."""
    begins = [beginning for beginning in PROGRAMS if name.startswith(beginning)]
    return PROGRAMS[max(begins, key=len)] if begins else None
