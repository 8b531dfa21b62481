"""Sequence-discriminative objectives on lattices: sMBR, MPFE and (boosted) MMI."""
