"""Results as tables in markdown."""

import statistics

import circumstances


def heading(results):
    return f'{circumstances.inWords(results)}\n'


def median(row, name, figure):
    values = [each[name][figure] for each in row['rounds']
              if each.get(name, {}).get(figure) is not None]
    return statistics.median(values) if values else None


def shown(value):
    if value is None:
        return '–'
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'


def ratio(row, name):
    if name not in row['ratios']:
        return 'failed'
    middle, low, high = row['ratios'][name]
    return f'{middle:.2f} ({low:.2f}–{high:.2f})'


def verdict(row, name):
    """Met, if the interval's better end is within the target."""
    target, bound, value = row['target'].get(name), row['bound'].get(name), median(row, name,
                                                                                   row['figure'])
    sign = '≥' if row['moreIsBetter'] else '≤'
    if bound is not None and value is not None:
        met = value >= bound if row['moreIsBetter'] else value <= bound
        return f"{sign} {bound} {row['unit']} {'met' if met else 'missed'}"
    if target is None or name not in row['ratios']:
        return ''
    _, low, high = row['ratios'][name]
    met = high >= target if row['moreIsBetter'] else low <= target
    return f"{sign} {target:.2f} {'met' if met else 'missed'}"


COLUMNS = [('rate', 'a second'), ('p50', 'p50 µs'), ('p99', 'p99 µs'), ('lost', 'lost')]


def ofRow(row):
    """One row with all its contenders."""
    figure = f"{row['figure']}, {row['unit']}"
    lines = [f"\n### {row['name']}: {row['title']}\n",
             f"| contender | {figure} | ratio (95 %) | target | "
             + ' | '.join(title for _, title in COLUMNS) + ' |',
             '|---' * (4 + len(COLUMNS)) + '|']
    for name in row['base']:
        cells = [name, shown(median(row, name, row['figure'])), ratio(row, name),
                 verdict(row, name), *(shown(median(row, name, key)) for key, _ in COLUMNS)]
        lines.append('| ' + ' | '.join(cells) + ' |')
    lines += [f'\nFailed: {failure}' for failure in row['failures']]
    return '\n'.join(lines)


def whole(results):
    return '\n'.join([heading(results), *(ofRow(row) for row in results['rows'])]) + '\n'
