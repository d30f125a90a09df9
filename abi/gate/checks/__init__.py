"""The checks of the gate: each module has cases(place), a list of (name, function) for TAP."""

import words

NAMES = ['exports', 'symbols', 'abidiff', 'witness', 'header', 'layout', 'twin', 'upgrade', 'elf', 'archive', 'pkgconfig',
         'rules', 'programs']
# Only those who ask for them get these, as they take minutes.
LONG = ['examples']


def eachRelease(place, check, findings):
    """A case for each frozen release: findings(place, release) judged by the waivers."""
    return [(f'{check}/{release.version}',
             lambda release=release: words.judge(place.root, release.version, check, findings(place, release)))
            for release in place.releases()]
