"""Changes of the tree, by name: BREAKS must be refused, ACCEPTED must not."""

from . import behaviour, compatible, linking, symbols, types, values

# Those that leave the headers alone first: they rebuild little.
GROUPS = {
    'Behaviour': behaviour.BREAKS,
    'The file and the release': linking.BREAKS,
    'Symbols': symbols.BREAKS,
    'Types': types.BREAKS,
    'Values, structs, headers': values.BREAKS,
}

BREAKS = {name: mutate for group in GROUPS.values() for name, mutate in group.items()}
ACCEPTED = compatible.ACCEPTED

assert len(BREAKS) == sum(map(len, GROUPS.values())), "two breaks with the same name"
assert not BREAKS.keys() & ACCEPTED.keys()
