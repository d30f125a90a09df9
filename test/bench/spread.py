"""Medians of ratios, and how sure they are."""

import random
import statistics

RESAMPLES = 2000


def interval(values, part=0.95):
    """(median, low, high): the median of the values, and where it lies in this part of resampled
    ones (bootstrap). The same values give the same interval."""
    median = statistics.median(values)
    if len(values) < 3:
        return median, min(values), max(values)
    generator = random.Random(1)
    medians = sorted(statistics.median(generator.choices(values, k=len(values)))
                     for _ in range(RESAMPLES))
    edge = round((1 - part) / 2 * RESAMPLES)
    return median, medians[edge], medians[-1 - edge]


def ratiosOf(rounds, contender, base, figure):
    """Per round, this contender's figure to the base's."""
    pairs = [(each[contender], each[base]) for each in rounds if contender in each and base in each]
    return [mine[figure] / others[figure] for mine, others in pairs
            if mine.get(figure) is not None and others.get(figure)]
