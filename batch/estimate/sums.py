"""Sums: what was found in rows of a few row groups, over all rows of a job."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from batch.estimate.extrapolate import Total, mean_of, order_groups, spread_out, sum_up
from batch.estimate.look import Seen
from batch.estimate.row_costs import EncodedSample
from batch.estimate.survey import InputSurvey

#: How far off times may be that were put together from parts.
PARTS_SPREAD = 0.3


class Sums:
    """What was found in the row groups that were looked at, summed up over all of them."""

    def __init__(self, survey: InputSurvey, seen: Sequence[Seen], samples: Sequence[EncodedSample]) -> None:
        self.survey, self.seen, self.samples = survey, seen, samples
        self.stand = order_groups(np.asarray([group.bytes_per_row for group in survey.groups]))
        self.numbers = np.asarray([one.number for one in seen], np.int64)
        self.shares = np.asarray([one.share for one in seen])
        scanned = np.asarray([max(one.scanned, 1) for one in seen], np.float64)
        left_out = np.asarray([one.scanned < survey.groups[one.number].rows for one in seen])
        self.share_variances = np.where(left_out, self.shares * (1 - self.shares) / scanned, 0.0)
        #: Where planning has counted what passes, what the sample says of it is put right.
        self.scale = 1.0
        found = self.passed().value
        if survey.admitted is not None and found:
            self.scale = survey.admitted / found

    def passed(self) -> Total:
        """Rows that pass the filter."""
        if self.survey.admitted is not None:
            return Total(value=float(self.survey.admitted))
        if not len(self.numbers):
            return Total(value=0.0)
        return sum_up(self.stand, self.survey.weights, self.numbers, self.shares, self.share_variances)

    def of(self, values: Sequence[NDArray[np.float64]]) -> Total:
        """The sum of something over all rows that pass.

        Args:
            values: of the rows of each sample.
        """
        if not len(self.numbers):
            return Total(value=0.0)
        means, variances = self._means(values)
        return sum_up(self.stand, self.survey.weights, self.numbers, means, variances).times(self.scale)

    def every(self, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The mean of something, a row before the filter, for every row group."""
        if not len(self.numbers):
            return np.zeros(len(self.stand))
        return spread_out(self.stand, self.numbers, self._means(values)[0])

    def kept(self) -> Total:
        """Bytes of the kept columns of all rows that pass, as they lie in the source."""
        groups = self.survey.groups
        if not len(self.numbers):
            return Total(value=0.0)
        bytes_s = np.asarray([group.kept_bytes for group in groups]) * self.survey.scale
        return sum_up(self.stand, bytes_s, self.numbers, self.shares, self.share_variances).times(self.scale)

    def reading(self) -> Total:
        """Seconds that reading all of them takes."""
        fetched = sum(group.fetched_bytes for group in self.survey.groups) * self.survey.scale
        read = sum(one.read_bytes for one in self.seen)
        seconds = sum(one.seconds for one in self.seen) * fetched / read if read else 0.0
        return Total(value=seconds, error=PARTS_SPREAD * seconds)

    def _means(self, values: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """For each row group that was looked at, the mean a row before the filter, and its variance."""
        by_group = {sample.seen.number: found for sample, found in zip(self.samples, values, strict=True)}
        means, variances = np.zeros(len(self.seen)), np.zeros(len(self.seen))
        for place, one in enumerate(self.seen):
            if (found := by_group.get(one.number)) is None:
                continue
            among = round(one.share * self.survey.groups[one.number].rows)
            mean, variance = mean_of(found * one.skew, among=among)
            variance += (mean * (one.skew - 1) / 2) ** 2
            means[place] = one.share * mean
            variances[place] = one.share**2 * variance + mean**2 * self.share_variances[place]
        return means, variances
