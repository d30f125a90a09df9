"""A .pc file: its fields, and their words."""

import re

LISTS = ['Cflags', 'Libs', 'Libs.private', 'Requires', 'Requires.private']


def read(path):
    """{field: text}, its variables left as they are."""
    return {match.group(1): match.group(2).strip()
            for match in re.finditer(r'^([A-Z][\w.]*):(.*)$', path.read_text(), re.M)}


def words(fields, key):
    return re.split(r'[\s,]+', fields[key]) if fields.get(key) else []


def frozen(path):
    """What a release keeps of it: what builds follow."""
    fields = read(path)
    return ''.join(f'{key}: {fields[key]}\n' for key in LISTS if fields.get(key))
