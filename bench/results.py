"""What was measured, and what it amounts to: medians, ratios, targets."""

from statistics import median

REFERENCE = "floor1"


class Results:
    """rounds[workload][server]: one dictionary of figures for each round, None where it failed.
    failed[workload][server]: why a server has no figures."""

    def __init__(self):
        self.rounds = {}
        self.failed = {}
        self.own_us = {}  # workload: one number for each round

    def add(self, workload, server, figures):
        self.rounds.setdefault(workload, {}).setdefault(server, []).append(figures)

    def fail(self, workload, server, why):
        self.failed.setdefault(workload, {}).setdefault(server, why)

    def servers_of(self, workload):
        return list(self.rounds.get(workload, {}))

    def values(self, workload, server, figure):
        """One for each round that has it, by rounds."""
        rounds = self.rounds.get(workload, {}).get(server, [])
        return {n: r[figure] for n, r in enumerate(rounds) if r and figure in r}

    def spread(self, workload, server, figure):
        """(median, smallest, largest), or None."""
        values = self.values(workload, server, figure).values()
        return (median(values), min(values), max(values)) if values else None

    def ratio(self, workload, server, figure, reference=REFERENCE):
        """Median of the ratios to another server in the same rounds, or None."""
        ours = self.values(workload, server, figure)
        theirs = self.values(workload, reference, figure)
        ratios = [ours[n] / theirs[n] for n in ours if theirs.get(n)]
        return median(ratios) if ratios else None

    def own_cost(self, workload):
        values = self.own_us.get(workload)
        return (median(values), min(values), max(values)) if values else None

    def value_of(self, workload, server, target):
        """What the target is about, as it was measured; None if it was not."""
        if target.of == "floor1":
            return self.ratio(workload, server, target.figure)
        if target.of == "own":
            ours = self.values(workload, server, target.figure)
            own = self.own_us.get(workload, [])
            above = [ours[n] - own[n] for n in ours if n < len(own)]
            return median(above) if above else None
        if target.of == "alone":
            with_it = self.values(workload, server, target.figure)
            alone = self.values(workload, server, f"{target.figure}_alone")
            ratios = [with_it[n] / alone[n] for n in with_it if alone.get(n)]
            return median(ratios) if ratios else None
        spread = self.spread(workload, server, target.figure)
        return spread and spread[0]
